"""Which model's direction moves which model: effects with their intervals, and what was a test."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import Normalize

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import UNKNOWN, folded, heat, roles, short, told, value_of, write_in
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import DIVERGING, PAGE, canvas, styled
from backtracking.records.rows.steering import Cell
from backtracking.report.words import signed

Cells = Mapping[tuple[str, str], Cell]
EDITS = {"add": "added", "set_projection": "set"}
"""How a direction was put in, as cells say it in short."""


@styled
def transfer(study: Study) -> Picture:
    """At live decisions, with each cell's verdict; a cell is the edit by which it is judged."""
    rows = [row for row in study.rows(Cell) if row.kind == study.live and row.dose > 0]
    cells = {(row.source, row.target): row for row in rows}
    if not cells:
        return Absent("No direction was put into a model at live decisions.")
    sources, targets = (
        [role for role in roles(study) if any(pair[end] == role for pair in cells)]
        for end in (0, 1)
    )
    title = _title(study, cells)
    figure, (axis,) = canvas(title, 1.5 + 0.47 * len(sources), width=PAGE)
    values = np.array([[_value(cells.get((s, t))) for t in targets] for s in sources])
    most = max(float(np.nanmax(np.abs(values))), 0.01) if np.isfinite(values).any() else 1.0
    norm = Normalize(-most, most)
    shown = heat(axis, values, DIVERGING, norm)
    texts = [[_text(cells.get((source, target))) for target in targets] for source in sources]
    write_in(axis, texts, values, DIVERGING, norm)
    axis.set_xticks(range(len(targets)), list(map(folded, targets)))
    axis.set_yticks(range(len(sources)), [folded(one, 18) for one in sources])
    axis.set_xlabel(
        "model that is changed: added at dose 1, or its projection set to the other mean"
    )
    axis.set_ylabel("model whose direction it is")
    figure.colorbar(shown, ax=axis, label=f"effect on P(backtrack) at {study.live}", pad=0.01)
    return Drawn(title, figure)


def _value(cell: Cell | None) -> float:
    return UNKNOWN if cell is None else value_of(cell.effect)


def _text(cell: Cell | None) -> str:
    if cell is None or cell.effect.value is None:
        return ""
    reach = cell.effect
    bounds = None in (reach.low, reach.high)
    ends = "" if bounds else f"{short(reach.low)} to {short(reach.high)}"
    how = f"{EDITS.get(cell.edit, cell.edit)}: {cell.verdict}"
    return "\n".join(filter(None, [short(reach.value, "+"), ends, how]))


def _title(study: Study, cells: Cells) -> str:
    pair = cells.get((study.base, study.studied)) or next(iter(cells.values()))
    own = cells.get((study.studied, study.studied))
    controls = [
        one
        for one in cells.values()
        if one.source in study.controls and one.target == study.studied
    ]
    # A control that is the studied model itself beside another base has that one's own direction.
    others = [
        one
        for one in controls
        if one.effect.value is not None and (own is None or one.effect != own.effect)
    ]
    most = max(others, key=lambda one: value_of(one.effect), default=None)
    text = (
        f"The direction of {pair.source} moves {pair.target} by {told(pair.effect, signed)}: "
        f"{pair.verdict}"
    )
    if most is None:
        return text
    return (
        f"{text}; of control pairs that of {most.source} moves it most, by "
        f"{signed(most.effect.value)}: {most.verdict}"
    )
