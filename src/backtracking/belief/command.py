"""`backtracking bench-directions`: its options, its answer. Nothing heavy until it runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from backtracking.records import reader
from backtracking.records.rows.belief import Benchmark
from lifeboat.cli.verbs import AsJson, state
from lifeboat.items import Item, as_object
from lifeboat.stage.errors import UserError

COLUMNS = {
    "direction": "direction",
    "layer": "layer",
    "span": "edits",
    "dose_mean_residual_norms": "dose",
    "b.beta.value": "beta B",
    "b.beta.low": "low",
    "b.beta.high": "high",
    "b.verdict": "verdict B",
    "c.beta.value": "beta C",
    "c.verdict": "verdict C",
    "agreement.value": "agreement",
    "kl": "KL",
    "without.change.value": "without",
    "without.null": "random",
    "without.report_kept.value": "report kept",
}
"""Attributes of a row of scores that are shown, and their headings."""

LEGEND = """
dose: in mean norms of the residual stream. B: the report of a dead end. C: the claim that it is
one. without: change of P(backtrack) at dead ends with the direction projected out; random: the 5th
percentile of that for random directions."""


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
    """Score directions on the donors: belief or action, collateral, necessity.

    Needs the outs of the stage `belief`; its own baselines are shown beside.
    """
    try:
        from backtracking.belief.scoring import score_file

        scores = score_file(state.root, file, layer)
    except UserError as error:
        if not as_json:
            raise
        found = as_object("bench-directions", [Item(str(error), "wrong")])
        typer.echo(json.dumps(found, indent=2))
        raise typer.Exit(1) from None
    if as_json:
        found = {"ok": True, "command": "bench-directions"} | reader.encode(scores)
        typer.echo(json.dumps(found, indent=2))
        return
    typer.echo(table(scores.scores))
    typer.echo("\nBaselines, from the stage `belief`:\n")
    typer.echo(table(scores.baselines))
    typer.echo(LEGEND)


def table(rows: Sequence[Benchmark]) -> str:
    """Rows of scores in aligned columns; an unknown number is a dash."""
    cells = [list(COLUMNS.values()), *([_cell(row, path) for path in COLUMNS] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(row: Benchmark, path: str) -> str:
    value: Any = row
    for name in path.split("."):
        value = None if value is None else getattr(value, name)
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
