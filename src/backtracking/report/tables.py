"""Rows of results as flat tables: what git holds of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtracking.claims.literature.study import Study

Rows = Sequence[Mapping[str, Any]]

Table = tuple[list[dict[str, Any]], list[str]]
"""Rows and columns."""


def table_of(rows: Rows, leave_out: str | None = None) -> Table:
    """Flat rows with every column that any of them has, in the order of first appearance.

    Args:
        rows: cells may be numbers, texts, mappings (a column for each key) or lists (joined by
            spaces).
        leave_out: rows whose `direction` holds this text are left out.
    """
    kept = [
        flatten(row)
        for row in rows
        if leave_out is None or leave_out not in str(row.get("direction", ""))
    ]
    return kept, list(dict.fromkeys(column for row in kept for column in row))


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose nested mappings have become columns `<key>_<inner key>`."""
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found |= {f"{key}_{inner}": cell for inner, cell in flatten(value).items()}
        elif isinstance(value, list | tuple):
            found[key] = " ".join(map(str, value))
        else:
            found[key] = value
    return found


def find(rows: Rows, **match: Any) -> dict[str, Any]:
    """The first row with these values; a row of nulls where there is none."""
    for row in rows:
        if all(row[key] == value for key, value in match.items()):
            return dict(row)
    return dict.fromkeys(rows[0]) if rows else {}


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


def dose_table(study: Study) -> Table:
    """P(backtrack) of the studied model at live decisions by dose; one column a direction."""
    place = (study.studied, study.live, "decision")
    rows = [
        row
        for row in study.rows("effects/steer/forced")
        if (row["target"], row["kind"], row["where"]) == place
    ]
    names = {"own": study.studied, "base": study.base, "action": "action"}
    found = []
    for dose in sorted({row["dose"] for row in rows}):
        here = [row for row in rows if row["dose"] == dose]
        randoms = [row["value"] for row in here if row["direction"].startswith("random_")]
        if dose == 0:
            columns = dict.fromkeys((*names, "random"), here[0]["value"])
        else:
            columns = {key: find(here, direction=name)["value"] for key, name in names.items()}
            columns["random"] = float(np.mean(randoms)) if randoms else None
        found.append({"dose": dose} | columns)
    return found, ["dose", *names, "random"]


def ladder_rows(ladder: Mapping[str, Any]) -> Rows:
    """One row per position and rung."""
    return [
        {"position": position} | rung
        for position, found in ladder.items()
        for rung in found["rungs"]
    ]
