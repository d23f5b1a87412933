"""Rows of results as flat tables: what git holds of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtracking.claims.literature.study import Study
from backtracking.records import reader
from backtracking.records.measured import RANDOM, Edit
from backtracking.records.rows.arms import Forced
from backtracking.records.rows.probe import ProbeSelection

Rows = Sequence[Mapping[str, Any]]

Table = tuple[list[dict[str, Any]], list[str]]
"""Rows and columns."""

TURNS = "backtracks"
"""The target of probes that is what the trace then does, as `probe` names it."""


def table_of(rows: Sequence[object], without: str | None = None) -> Table:
    """Flat rows with every column that any of them has, in the order of first appearance.

    An object that a row lacks leaves its columns empty.

    Args:
        rows: records; cells may be numbers, texts, objects (a column for each key) or lists
            (joined by spaces; of intervals their estimates).
        without: a group of arms whose rows are left out.
    """
    found = reader.encode(list(rows))
    nested = {key for row in found for key, value in row.items() if isinstance(value, Mapping)}
    kept = [
        flatten({key: row[key] for key in row if row[key] is not None or key not in nested})
        for row in found
        if without is None or row.get("group") != without
    ]
    return kept, list(dict.fromkeys(column for row in kept for column in row))


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose nested objects have become columns `<key>_<inner key>`; of `by_*` without it."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            prefix = "" if key.startswith("by_") else f"{key}_"
            found |= {f"{prefix}{inner}": cell for inner, cell in flatten(value).items()}
        elif isinstance(value, list | tuple):
            found[key] = " ".join(map(_cell, value))
        else:
            found[key] = value
    return found


def _cell(value: Any) -> str:
    """A value of a list; of an interval only its estimate."""
    return str(value.get("value", dict(value)) if isinstance(value, Mapping) else value)


def loss_table(losses: Mapping[str, Sequence[float]], every: int) -> Table:
    """Training loss in nats a token, averaged over stretches of steps; one column a role."""
    rows = []
    for end in range(every, max(map(len, losses.values()), default=0) + 1, every):
        means = {
            role: float(np.mean(values[end - every : end]))
            for role, values in losses.items()
            if len(values) >= end
        }
        rows.append({"step": end} | means)
    return rows, ["step", *losses]


def decided(study: Study, kind: str, edit: Edit = "add") -> list[Forced]:
    """P(backtrack) of the model under study at a kind of decision, by arm of an edit.

    With the baseline that was read as the edit was.
    """
    rows = [
        row
        for row in study.rows(Forced)
        if (row.arm.target, row.kind, row.arm.where) == (study.studied, kind, "decision")
        and row.arm.edit in ("none", edit)
    ]
    endpoints = {row.endpoint for row in rows if row.arm.edit == edit}
    return [row for row in rows if not endpoints or row.endpoint in endpoints]


def is_random(row: Forced) -> bool:
    """Whether an arm is along a random direction."""
    return row.arm.group == RANDOM


def p_backtrack_key(kind: str) -> str:
    """What names of summary.json about P(backtrack) at a kind of decision begin with."""
    return f"steer_p_backtrack_{kind.replace(' ', '_')}"


def random_levels(rows: Sequence[Forced]) -> list[float]:
    """P(backtrack) along random directions."""
    levels = (row.level.value for row in rows if is_random(row))
    return [one for one in levels if one is not None]


def dose_table(study: Study) -> Table:
    """P(backtrack) of the studied model at live decisions by dose; one column a direction."""
    rows = decided(study, study.live)
    names = {"own": study.studied, "base": study.base, "action": "action"}
    found = []
    for dose in sorted({row.arm.dose for row in rows}):
        here = [row for row in rows if row.arm.dose == dose]
        value = {row.arm.direction: row.level.value for row in here}
        randoms = random_levels(here)
        if dose == 0:
            columns = dict.fromkeys((*names, "random"), here[0].level.value)
        else:
            columns = {key: value.get(name) for key, name in names.items()}
            columns["random"] = float(np.mean(randoms)) if randoms else None
        found.append({"dose": dose} | columns)
    return found, ["dose", *names, "random"]


def decoding_table(study: Study) -> Table:
    """AUROC on dev problems of whether a trace turns, by offset; one column a model of the pair.

    Of the layer that tells most at each offset, so that chance lies a little above 0.5.
    """
    selection = study.part(ProbeSelection)
    best: dict[int, dict[str, float]] = {}
    names = {study.studied: "own", study.base: "base"}
    for cell in selection.cells if selection else ():
        if cell.target == TURNS and cell.role in names and cell.dev_auroc is not None:
            row, name = best.setdefault(cell.offset, {}), names[cell.role]
            row[name] = max(cell.dev_auroc, row.get(name, 0.0))
    return [{"offset": offset} | best[offset] for offset in sorted(best)], ["offset", "own", "base"]
