"""`backtracking label`, `learn-labels` and `bench-labels`: their options, and what they answer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from backtracking.records import reader
from lifeboat.cli.verbs import AsJson, answer, report, state
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

Traces = Annotated[
    Path,
    typer.Argument(help="JSON Lines of traces, plain or gzip: docs/artifacts.md has the keys."),
]
LEGEND = """
Of backtracking against all else, the labels of {against} ({annotators}) taken as true: {n_positive}
of {n} sentences backtrack{wider}, {labeller} calls {n_called}. Intervals over {n_traces} traces,
95 %. Sentences are the annotator's; without --against they are our splitter's."""


def label(
    traces: Traces,
    labeller: Annotated[
        str, typer.Option(help="rules, learned, judge, human, or an annotator of the file by name.")
    ],
    against: Annotated[
        str | None, typer.Option(help="Score it by human, judge, or an annotator's name.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="JSON Lines of a human's labels for these traces.")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(help="Markers of rules; else by the model. field: the literature's."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="open or held-back: which human-labelled traces.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the labels here, as JSON Lines.")] = None,
    url: Annotated[
        str | None, typer.Option(help="Of the judge's OpenAI-compatible interface.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The judge, as its interface calls it.")] = None,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Dollars for a million tokens that it reads.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Dollars for a million tokens that it writes.")
    ] = None,
    max_cost: Annotated[
        float, typer.Option(min=0, help="Dollars that the judge may cost at most.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Label every sentence of traces, or score a labeller by the labels of an annotator.

    The judge is asked once for each piece of text; its key is JUDGE_API_KEY, its price is stated
    here and its cost estimated before the first question. Without --against, sentences are ours.
    """

    def found() -> dict[str, Any]:
        from backtracking.labels.labelling import Options, label_traces, score_traces

        options = Options(
            traces=traces,
            labeller=labeller,
            labels=labels,
            family=family,
            only=only,
            url=url,
            model=model,
            price_in=price_in,
            price_out=price_out,
            max_cost=max_cost,
            root=state.root,
            tell=lambda text: typer.echo(text, err=True),
        )
        if against is None:
            return reader.encode(label_traces(options, out))
        if out is None:
            return reader.encode(score_traces(options, against))
        raise UserError("--out and --against are two things.", "Label first, then score.")

    values = answer("label", as_json, found)
    if as_json:
        return
    if against is None:
        typer.echo("\n".join(f"{n:7d}  {name}" for name, n in values["n_by_state"].items()))
    else:
        typer.echo(
            "\n".join(_line(name, values["intervals"][name]) for name in values["intervals"])
        )
        names = ", ".join(values["annotators"])
        wider = f" (by {values['wider']})" if values["wider"] else ""
        typer.echo(LEGEND.format(**{**values, "annotators": names, "wider": wider}))


def learn_labels(
    folder: Annotated[Path, typer.Argument(help="Of the shared traces, with judges' labels.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; say whether the shipped data are these.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Choose the markers of `rules` and fit the weights of `learned` again, on judges' labels."""

    def learn() -> list[Item]:
        from backtracking.labels import making

        return making.check(folder) if check else making.make(folder)

    report("learn-labels", as_json, learn)


def bench_labels(
    folder: Annotated[Path, typer.Argument(help="Of the shared traces, with humans' labels.")],
    out: Annotated[Path | None, typer.Option(help="Write the rows here, as JSON.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score every labeller, judge and second human on the human-labelled traces."""

    def found() -> dict[str, Any]:
        from backtracking.labels.benchmark import benchmark, left_out
        from backtracking.labels.labelling import BOOTSTRAP

        rows = benchmark(folder, BOOTSTRAP)
        if out is not None:
            reader.write_json(out, rows)
        return {"rows": reader.encode(rows), "left_out": left_out(folder)}

    values = answer("bench-labels", as_json, found)
    if as_json:
        return
    from backtracking.labels.scoring import MEASURES

    for row in values["rows"]:
        typer.echo(f"\n{row['source']}, {row['subset']}: {row['labeller']}, {row['n']} sentences")
        typer.echo("\n".join(_line(name, row[name]) for name in MEASURES))
    typer.echo("\n".join(("", *(f"Left out: {one}" for one in values["left_out"]))))


def _line(name: str, interval: dict[str, float | None]) -> str:
    value, low, high = (
        "-" if interval[key] is None else f"{interval[key]:.2f}" for key in ("value", "low", "high")
    )
    return f"{name:10s} {value:>5s}  ({low} to {high})"
