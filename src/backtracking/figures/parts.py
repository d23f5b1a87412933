"""What several figures draw: values with their intervals, and matrices that are written in."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from backtracking.claims.literature.study import Study
from backtracking.figures.style import INK, Look, looks
from backtracking.records.intervals import Interval
from backtracking.report.words import interval, number

UNKNOWN = float("nan")


def roles(study: Study) -> list[str]:
    """Every model of a study, the one under study and its base first, then those of controls."""
    pairs = study.base_by_role
    return list(dict.fromkeys(one for role in pairs for one in (role, pairs[role])))


def role_looks(study: Study) -> dict[str, Look]:
    """A look of each model, the same in every figure."""
    return looks(roles(study))


def value_of(one: Interval | None) -> float:
    """The estimate, or NaN."""
    return UNKNOWN if one is None or one.value is None else one.value


def ends(rows: Sequence[Interval | None]) -> np.ndarray:
    """How far intervals reach below and above their values, as error bars take it; 0 if unknown."""
    found = np.zeros((2, len(rows)))
    for at, one in enumerate(rows):
        if one is not None and None not in (one.value, one.low, one.high):
            found[:, at] = max(one.value - one.low, 0), max(one.high - one.value, 0)  # type: ignore[operator]
    return found


def told(one: Interval, how: Callable[[float | None], str] = number) -> str:
    """A value with its interval, as titles have it."""
    reach = interval(one.low, one.high)
    return f"{how(one.value)} ({reach})" if reach else how(one.value)


def folded(name: str, n_letters: int = 13) -> str:
    """A name in lines, as it stands at a matrix."""
    return textwrap.fill(name, n_letters)


def short(value: float | None, sign: str = "") -> str:
    """Two decimals, as cells have room for; what is nearly 0 has no sign."""
    if value is None:
        return ""
    return "0.00" if abs(value) < 0.005 else f"{value:{sign}.2f}"


def dots(
    axis: Axes, at: Sequence[float], rows: Sequence[Interval | None], look: Look, **more: Any
) -> None:
    """Values along x, with their intervals, at heights of y."""
    axis.errorbar(
        [value_of(one) for one in rows], at, xerr=ends(rows), linestyle="",
        color=look.color, marker=look.marker, elinewidth=1, zorder=look.zorder, **more,
    )  # fmt: skip


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 4) -> None:
    """One legend for all axes below them, each label once, in as many columns as fit."""
    found = [axis.get_legend_handles_labels() for axis in axes]
    by_label = {name: one for pair in found for one, name in zip(*pair, strict=True)}
    drawn = figure.legend(
        by_label.values(), by_label.keys(), loc="outside lower left", ncols=columns
    )
    if columns > 1 and drawn.get_window_extent().width > 0.98 * figure.bbox.width:
        drawn.remove()
        legend(figure, axes, columns - 1)


def lines_of_names(axis: Axes, names: Sequence[str]) -> None:
    """A line of the axis for each name, the first on top."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params("y", length=0)


def heat(axis: Axes, values: np.ndarray, colours: str, norm: Normalize) -> AxesImage:
    """A matrix as colours, NaN left blank; what a colour bar takes."""
    shown = axis.imshow(values, cmap=colours, norm=norm, aspect="auto", interpolation="none")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return shown


def write_in(
    axis: Axes, texts: Sequence[Sequence[str]], values: np.ndarray,
    colours: str, norm: Normalize, size: float = 6,
) -> None:  # fmt: skip
    """Texts in the cells of a matrix, light on what is dark."""
    colour_of = matplotlib.colormaps[colours]
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            value = values[row, column]
            dark = np.isfinite(value) and _luminance(colour_of(norm(value))) < 0.45
            axis.text(
                column, row, text, ha="center", va="center", fontsize=size, linespacing=1.1,
                color="white" if dark else INK,
            )  # fmt: skip


def _luminance(colour: Sequence[float]) -> float:
    return float(np.dot(colour[:3], (0.2126, 0.7152, 0.0722)))
