"""What labels say of traces: what follows what, and how far two labellers agree."""

from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize

from backtracking.figures.parts import folded, heat, short, told, value_of, write_in
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import PAGE, SEQUENTIAL, canvas, styled
from backtracking.records.intervals import Interval

BACKTRACKING = "backtracking"


@dataclass(frozen=True)
class Shares:
    """Of the sentences that one thing is said of, what share something else is true of.

    Attributes:
        rows: names of what the sentences are; those that occur.
        columns: names of what may be true of them.
        cells: share of each, by row; a row adds up to 1.
        n: sentences of each row.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Interval, ...], ...]
    n: tuple[int, ...]

    def cell(self, row: str, column: str) -> Interval | None:
        """One share; None where one of the two does not occur."""
        if row not in self.rows or column not in self.columns:
            return None
        return self.cells[self.rows.index(row)][self.columns.index(column)]


@styled
def transitions(found: Shares | None) -> Picture:
    """What follows each state, as a matrix with an interval in every cell that is not empty."""
    if found is None:
        return Absent("No trace has two labelled sentences, so nothing follows anything.")
    return _matrix(following_title(found), found, "what follows", "sentence")


def following_title(found: Shares) -> str:
    """What follows backtracking, and what it follows, by the share that is sure to be largest."""
    name = BACKTRACKING if BACKTRACKING in found.rows else found.rows[0]
    row = found.cells[found.rows.index(name)]
    likely = max(range(len(row)), key=lambda at: value_of(row[at]))
    title = f"After {name} comes {found.columns[likely]} in {told(row[likely])} of the cases"
    into = {
        one: share
        for one in found.rows
        if one != name and (share := found.cell(one, name)) is not None
    }
    if into:
        most = max(into, key=lambda one: (into[one].low or 0, value_of(into[one])))
        title += f"; it is most likely after {most}: {told(into[most])}"
    return title


@styled
def agreement(found: Shares | None, first: str, second: str, f1: Interval | None) -> Picture:
    """What the second labeller says of the sentences of each state of the first.

    Args:
        found: rows are the first labeller's states; None where two did not label the same traces.
        first, second: their names.
        f1: of backtracking, the first taken as true; None where neither finds any.
    """
    if found is None:
        return Absent("One labeller alone labelled the traces, so there is none to agree with.")
    share = found.cell(BACKTRACKING, BACKTRACKING)
    title = (
        f"The labeller {second} finds {'none' if share is None else told(share)} of what {first} "
        "calls backtracking"
    )
    if f1 is not None and f1.value is not None:
        title += f", with an F1 of {told(f1)}"
    return _matrix(title, found, f"by {second}", f"by {first}")


def _matrix(title: str, found: Shares, across: str, down: str) -> Drawn:
    values = np.array([[value_of(one) for one in line] for line in found.cells])
    figure, (axis,) = canvas(title, 1.45 + 0.36 * len(found.rows), width=PAGE)
    norm = Normalize(0, 1)
    shown = heat(axis, np.where(values > 0, values, np.nan), SEQUENTIAL, norm)
    write_in(axis, [[_text(one) for one in line] for line in found.cells], values, SEQUENTIAL, norm)
    axis.set_xticks(range(len(found.columns)), list(map(folded, found.columns)))
    axis.tick_params("x", rotation=35, labelsize=6.5)
    for label in axis.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    names = [f"{name} (n = {n})" for name, n in zip(found.rows, found.n, strict=True)]
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel(across)
    axis.set_ylabel(down)
    figure.colorbar(shown, ax=axis, label="share of the row", pad=0.01)
    return Drawn(title, figure)


def _text(one: Interval) -> str:
    if not one.value or one.value < 0.005:
        return "<0.01" if one.value else ""
    ends = "" if None in (one.low, one.high) else f"\n{short(one.low)}-{short(one.high)}"
    return f"{short(one.value)}{ends}"
