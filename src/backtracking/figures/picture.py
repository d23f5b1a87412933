"""What comes of a figure: the figure under its finding, or why there is none."""

from dataclasses import dataclass

from matplotlib.figure import Figure

from backtracking.figures.style import INK, canvas, styled, svg


@dataclass(frozen=True)
class Drawn:
    """A figure; what it says without eyes is its title.

    Attributes:
        title: the finding, a sentence with its number.
        figure: with that title.
    """

    title: str
    figure: Figure

    def __post_init__(self) -> None:
        """Settles the layout once, so that every file of the figure has the same."""
        for _ in range(2):  # labels of axes are where they belong from the second time on
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")


@dataclass(frozen=True)
class Absent:
    """No figure, since the study lacks what it would show; the reason is a whole sentence."""

    reason: str


Picture = Drawn | Absent


NOT_DRAWN = "Not drawn"
"""The title of a file that says why there is no figure."""


@styled
def placeholder(absent: Absent) -> Figure:
    """A file's content where there is no figure: the reason, as every study has the same files."""
    figure, (axis,) = canvas(NOT_DRAWN, 0.9)
    axis.axis("off")
    axis.text(0, 0.5, absent.reason, color=INK, wrap=True, va="center")
    return figure


def file_of(picture: Picture) -> bytes:
    """The SVG of a picture, which says why where there is no figure."""
    if isinstance(picture, Absent):
        return svg(placeholder(picture), NOT_DRAWN)
    return svg(picture.figure, picture.title)
