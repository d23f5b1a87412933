"""`backtracking view`: its options, and what it answers."""

from pathlib import Path
from typing import Annotated

import typer

from lifeboat.cli.verbs import AsJson, report
from lifeboat.items import Item


def view(
    traces: Annotated[
        Path,
        typer.Argument(help="JSON Lines of traces, plain or gzip: docs/artifacts.md has the keys."),
    ],
    out: Annotated[Path, typer.Option(help="The page to write, which opens from disk.")],
    labels: Annotated[
        list[Path] | None, typer.Option(help="JSON Lines of labels; may be repeated.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Of the page. [the file's name]")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a page in which traces are read, searched and labelled, in any browser, offline.

    It needs neither a model nor DVC nor params.yaml. Labels that are made in it are saved as a file
    that `backtracking label --labels` and `--labels` here read.
    """

    def make() -> list[Item]:
        from backtracking.view.imported import open_traces
        from backtracking.view.page import LARGEST, page
        from lifeboat.stage import artifacts

        found = open_traces(traces, labels or ())
        text = page(title or traces.name, found)
        artifacts.write_text(out, text)
        n_sentences = sum(len(one.sentences) for one in found)
        fact = f"{out}: {len(found)} traces, {n_sentences} sentences, {len(text) / 1e6:.2f} MB."
        if len(text) > LARGEST:
            cure = "Browsers open it, slowly: show fewer traces to send it to somebody."
            return [Item(fact, "warning", cure)]
        return [Item(fact, "ok")]

    report("view", as_json, make)
