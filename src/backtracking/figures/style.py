"""How every figure looks and how it is written: for a paper's column, the same bytes each time."""

import io
import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

COLUMN, PAGE = 3.3, 6.8
"""Widths in inches: a column of a paper, and both."""

INK, SOFT, FAINT = "#1b1b1b", "#767676", "#d5d5d5"
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Colours that the colour-blind tell apart; the yellow of the set is left out, as too pale."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL, DIVERGING = "cividis", "PuOr_r"
DPI = 200

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "figure.titleweight": "bold",
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "path",
    "svg.hashsalt": "mats-backtracking",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
}


@dataclass(frozen=True)
class Look:
    """How one line or bar is told from the others: by colour and by marker; the first on top."""

    color: str
    marker: str
    zorder: float = 3.0


def styled(draw: Callable[P, T]) -> Callable[P, T]:
    """A function that draws or writes, in this style whatever the caller's is."""

    @wraps(draw)
    def within(*args: P.args, **kwargs: P.kwargs) -> T:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            return draw(*args, **kwargs)

    return within


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each name, in order; the eighth has the first colour with the next marker."""
    n = len(OKABE_ITO)
    return {
        name: Look(OKABE_ITO[at % n], MARKERS[(at + at // n) % len(MARKERS)], 3 - at / 100)
        for at, name in enumerate(dict.fromkeys(names))
    }


def canvas(
    title: str, height: float, rows: int = 1, columns: int = 1, width: float = PAGE, **more: Any
) -> tuple[Figure, list[Axes]]:
    """A figure under its title, and its axes row by row."""
    figure = Figure(figsize=(width, height), layout="constrained")
    n_letters = int(width * 14.2)
    figure.suptitle(textwrap.fill(title, n_letters), x=0.01, ha="left")
    return figure, figure.subplots(rows, columns, squeeze=False, **more).ravel().tolist()


@styled
def svg(figure: Figure, title: str) -> bytes:
    """An SVG whose bytes depend on what is drawn alone, to a hundredth of a point."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Title": title, "Date": None, "Creator": None})
    lines = (line.lstrip() for line in file.getvalue().decode("utf-8").splitlines())
    return _PLACED.sub(_short, "\n".join(lines)).encode("utf-8")


@styled
def png(figure: Figure) -> bytes:
    """The same as pixels, on white."""
    file = io.BytesIO()
    metadata = {"Software": None}
    figure.savefig(file, format="png", dpi=DPI, facecolor="white", metadata=metadata)
    return file.getvalue()


_PLACED = re.compile(r'(?: (?:d|x|y|width|height|points)="|translate\()[^")]*')
_LONG = re.compile(r"-?\d+\.\d{3,}")


def _short(match: re.Match[str]) -> str:
    return _LONG.sub(lambda one: f"{round(float(one[0]), 2) + 0.0:g}", match[0])
