"""What follows what, as a graph: states on a circle, arrows as wide as they are likely."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch

from backtracking.figures.labels import BACKTRACKING, Shares, following_title
from backtracking.figures.parts import folded, short, value_of
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import INK, OKABE_ITO, SOFT, canvas, styled
from backtracking.records.intervals import Interval

Places = Mapping[str, tuple[float, float]]
Boxes = Mapping[str, Patch | None]

LEAST, FEWEST = 0.05, 10
"""Share, and number of sentences, below which an arrow is left out."""

BEND = 0.18
"""How far an arrow is bent, so that there and back are two."""


@styled
def transition_graph(found: Shares | None) -> Picture:
    """Arrows out of and into backtracking stand out, with their shares and intervals."""
    if found is None:
        return Absent("No trace has two labelled sentences, so nothing follows anything.")
    title = following_title(found)
    figure, (axis,) = canvas(title, 4.6)
    axis.set(xlim=(-1.9, 1.9), ylim=(-1.18, 1.18), aspect="equal")
    axis.axis("off")
    arrows = _arrows(found)
    names = {name for ends in arrows for name in ends} | {BACKTRACKING}
    places = _places([one for one in dict.fromkeys([*found.rows, *found.columns]) if one in names])
    boxes = {name: _state(axis, name, place, found) for name, place in places.items()}
    figure.draw_without_rendering()  # only then does a box know its size, at which arrows end
    for (source, target), share in arrows.items():
        if source != target:
            _arrow(axis, places, boxes, source, target, share)
    told = f"left out: less than {LEAST} of a state's sentences, or than {FEWEST} of them"
    axis.text(1.9, -1.18, told, ha="right", va="bottom", fontsize=6.5, color=INK)
    return Drawn(title, figure)


def _arrows(found: Shares) -> dict[tuple[str, str], Interval]:
    return {
        (source, target): share
        for source, line, n in zip(found.rows, found.cells, found.n, strict=True)
        for target, share in zip(found.columns, line, strict=True)
        if value_of(share) >= LEAST and value_of(share) * n >= FEWEST
    }


def _places(names: list[str]) -> Places:
    angles = np.pi / 2 - 2 * np.pi * np.arange(len(names)) / len(names)
    return {name: (1.55 * np.cos(a), np.sin(a)) for name, a in zip(names, angles, strict=True)}


def _state(axis: Axes, name: str, place: tuple[float, float], found: Shares) -> Patch | None:
    """The box of a state."""
    words = [folded(name)]
    if name in found.rows:
        words.append(f"n = {found.n[found.rows.index(name)]}")
    again = found.cell(name, name)
    if again is not None and value_of(again) >= LEAST:
        words.append(f"again: {_told(again)}")
    edge = OKABE_ITO[1] if name == BACKTRACKING else INK
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": edge}
    text = "\n".join(words)
    return axis.text(
        *place, text, ha="center", va="center", fontsize=6.5, bbox=box, zorder=4
    ).get_bbox_patch()


def _arrow(
    axis: Axes, places: Places, boxes: Boxes, source: str, target: str, share: Interval
) -> None:
    """An arrow; it says its share where it goes to backtracking or comes from there."""
    is_told = BACKTRACKING in (source, target)
    colour = OKABE_ITO[1] if is_told else SOFT
    (x, y), (to_x, to_y) = places[source], places[target]
    bent = f"arc3,rad={BEND}"
    axis.add_patch(
        FancyArrowPatch(
            (x, y), (to_x, to_y), connectionstyle=bent, arrowstyle="-|>", mutation_scale=9,
            linewidth=0.4 + 3.5 * value_of(share), color=colour, shrinkA=2, shrinkB=2,
            patchA=boxes[source], patchB=boxes[target],
            alpha=1 if is_told else 0.5, zorder=2 if is_told else 1,
        )
    )  # fmt: skip
    if is_told:
        middle = ((x + to_x + BEND * (to_y - y)) / 2, (y + to_y - BEND * (to_x - x)) / 2)
        box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
        axis.text(
            *middle, _told(share), ha="center", va="center", fontsize=6.5, color=INK, bbox=box,
            zorder=3,
        )  # fmt: skip


def _told(share: Interval) -> str:
    ends = "" if None in (share.low, share.high) else f"\n{short(share.low)}-{short(share.high)}"
    return f"{short(share.value)}{ends}"
