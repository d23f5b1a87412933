"""Rows of results as flat tables: what git holds of them."""

from collections.abc import Mapping, Sequence
from typing import Any

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
