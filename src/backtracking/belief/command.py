"""`backtracking bench-directions`: its options, its answer. Nothing heavy until it runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from backtracking.records import reader
from backtracking.records.rows.belief import Beta
from lifeboat import steps
from lifeboat.cli.verbs import AsJson, state
from lifeboat.items import as_object

COLUMNS = {
    "direction": "direction",
    "layer": "layer",
    "span": "edits",
    "readout": "readout",
    "dose": "dose",
    "fluent": "fluent",
    "score.share.value": "share",
    "score.share.low": "low",
    "score.share.high": "high",
    "score.null": "random",
    "score.beta.value": "beta",
    "score.flipped.value": "flipped",
    "score.flipped_null": "random",
    "score.verdict": "verdict",
}
"""Attributes of a row of scores that are shown, and their headings."""

LEGEND = """
dose: in mean norms of the residual stream, such that the marker moves as under the donor's state.
fluent: what is left of the model's own next words. share: change of the readout (b: the report of a
dead end; c: the claim that it is one) over the donor's own. beta: over that under the donor's
state, where the readout reads it. flipped: answers that become the donor's. random: what 95 % of
random directions stay below."""


def bench_directions(
    file: Annotated[
        Path,
        typer.Argument(
            help="safetensors with vectors of length d_model, named name or name.layer."
        ),
    ],
    layer: Annotated[
        int | None,
        typer.Option(help="Only this layer, and where a vector without one is scored."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score directions on the donors: belief, action, or not read at all.

    Needs the outs of the stages `belief` and `effects`; the baselines stand in the same table.
    """
    try:
        from backtracking.belief.scoring import score_file

        scores = score_file(state.root, file, layer)
    except Exception as error:
        if not as_json:
            raise
        found = as_object("bench-directions", [steps.item(error)])
        typer.echo(json.dumps(found, indent=2))
        raise typer.Exit(1) from None
    if as_json:
        found = {"ok": True, "command": "bench-directions"} | reader.encode(scores)
        typer.echo(json.dumps(found, indent=2))
        return
    every = [*scores.scores, *scores.baselines]
    typer.echo(table(sorted(every, key=lambda row: (row.layer, row.span, row.readout))))
    typer.echo(LEGEND)


def table(rows: Sequence[Beta]) -> str:
    """Rows of scores in aligned columns; an unknown number is a dash."""
    cells = [list(COLUMNS.values()), *([_cell(row, path) for path in COLUMNS] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(row: Beta, path: str) -> str:
    value: Any = row
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
