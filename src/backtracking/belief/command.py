"""`backtracking bench-directions`: its options, its answer. Nothing heavy until it runs."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lifeboat.cli.verbs import AsJson, state
from lifeboat.items import Item, as_object
from lifeboat.stage.errors import UserError

COLUMNS = {
    "direction": "direction",
    "layer": "layer",
    "span": "edits",
    "dose_mean_residual_norms": "dose",
    "b_beta_value": "beta B",
    "b_beta_low": "low",
    "b_beta_high": "high",
    "b_verdict": "verdict B",
    "c_beta_value": "beta C",
    "c_verdict": "verdict C",
    "agreement_value": "agreement",
    "kl": "KL",
    "without_change_value": "without",
    "without_null": "random",
    "without_report_kept_value": "report kept",
}
"""Keys of a row of scores that are shown, and their headings."""

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
        typer.echo(json.dumps({"ok": True, "command": "bench-directions"} | scores, indent=2))
        return
    typer.echo(table(scores["scores"]))
    typer.echo("\nBaselines, from the stage `belief`:\n")
    typer.echo(table(scores["baselines"]))
    typer.echo(LEGEND)


def table(rows: list[dict[str, Any]]) -> str:
    """Rows of scores in aligned columns; an unknown number is a dash."""
    cells = [list(COLUMNS.values()), *([_cell(row[key]) for key in COLUMNS] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
