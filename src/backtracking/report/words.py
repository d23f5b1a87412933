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


def quoted(text: str, n_characters: int = 300) -> str:
    """Words of a model in a page of Markdown, where nothing of them is markup, on one line."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    cut = plain if len(plain) <= n_characters else f"{plain[: n_characters - 1]}…"
    return "".join(one if one.isalnum() or one in " .,:;?…" else f"&#{ord(one)};" for one in cut)
