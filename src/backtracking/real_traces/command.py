"""`backtracking real-traces`: its options, and what it answers."""

from pathlib import Path
from typing import Annotated

import typer

from lifeboat.cli.verbs import AsJson, report, state
from lifeboat.items import Item


def real_traces(
    folder: Annotated[Path, typer.Argument(help="Of the shared traces.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say whether the tables are these.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what traces of real models say: results/real_traces, for docs/findings.md.

    Stability of "Wait", memory of the tags, bursts, and how well labellers agree with humans. It
    takes minutes and no GPU. The traces themselves are not kept.
    """

    def measure() -> list[Item]:
        from backtracking.real_traces import study

        tables, results = study.measure(folder), state.root / "results"
        return study.check(tables, results) if check else study.write(tables, results)

    report("real-traces", as_json, measure)
