"""Numbers, lists and tables as Markdown has them."""

from collections.abc import Sequence

UNDEFINED = "undefined"

Cell = str | float | None
"""A number, as it is or as a table has it."""


def interval(low: Cell, high: Cell) -> str:
    """The ends of an interval; empty where there is none."""
    return "" if low in (None, "") or high in (None, "") else f"{number(low)} to {number(high)}"


def number(value: Cell) -> str:
    """A number with three decimals, also from a table's cell."""
    return UNDEFINED if value in (None, "") else f"{float(value):.3f}"


def p_value(value: Cell) -> str:
    """A p with two significant digits, since 0.0025 and 0.003 differ after a correction."""
    return UNDEFINED if value in (None, "") else f"{float(value):.2g}"


def signed(value: Cell) -> str:
    """A change with its sign."""
    return UNDEFINED if value in (None, "") else f"{float(value):+.3f}"


def joined(words: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), *words[-1:]])


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
