"""Where the word that opens backtracking stands along each direction, layer by layer."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import legend, role_looks
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import FAINT, SOFT, Look, canvas, styled
from backtracking.records.rows.measures import MarkerRank
from backtracking.report.words import number

VARIANTS = {"whole": "whole direction", "without_markers": "without the markers' rows"}


@styled
def lens(study: Study) -> Picture:
    """Matched directions through their own model's unembedding, beside random directions."""
    rows = [row for row in study.rows(MarkerRank) if _is_shown(row, study)]
    if not rows:
        return Absent("No direction was read through an unembedding: the stage `lens` wrote none.")
    title = _title([row for row in rows if row.role == study.studied] or rows)
    figure, axes = canvas(title, 2.9, columns=2, sharey=True, sharex=True)
    looks = {role: look for role, look in role_looks(study).items() if _of(rows, role)}
    for axis, (variant, words) in zip(axes, VARIANTS.items(), strict=True):
        for role, look in looks.items():
            here = [row for row in _of(rows, role) if row.variant == variant]
            _line(axis, sorted(here, key=lambda row: row.layer or 0), role, look)
        band = [row.random95 for row in rows if row.variant == variant]
        if band:
            axis.axhspan(
                min(band), max(band), color=FAINT, linewidth=0, zorder=0,
                label="95 % of random directions stay below, by model",
            )  # fmt: skip
            axis.axhline(min(band), color=SOFT, linewidth=0.6, zorder=0)
        axis.set_title(words, loc="left")
        axis.set_xlabel("layer of the direction")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].set_ylabel(f"percentile of {rows[0].rank.marker}")
    axes[0].set_ylim(-0.03, 1.03)
    legend(figure, axes)
    return Drawn(title, figure)


def _is_shown(row: MarkerRank, study: Study) -> bool:
    """Of several markers, windows and pairs the one that is steered along."""
    own = row.form == "matched" and row.role == row.unembedding and row.final_norm
    marker = study.marker in (row.rank.marker, "none")
    return own and row.number is None and marker and study.window in (row.window, None)


def _of(rows: Sequence[MarkerRank], role: str) -> list[MarkerRank]:
    return [row for row in rows if row.role == role]


def _line(axis: Axes, rows: Sequence[MarkerRank], role: str, look: Look) -> None:
    axis.plot(
        [row.layer or 0 for row in rows], [row.rank.percentile for row in rows],
        color=look.color, marker=look.marker, label=role, zorder=look.zorder,
    )  # fmt: skip


def _title(rows: Sequence[MarkerRank]) -> str:
    whole = [row for row in rows if row.variant == "whole"] or rows
    top = max(whole, key=lambda row: row.rank.percentile)
    side = "above" if top.rank.percentile > top.random95 else "not above"
    return (
        f"{top.rank.marker} stands at percentile {number(top.rank.percentile)} along the direction "
        f"of {top.role} in layer {top.layer}, where it stands highest: {side} what 95 % of "
        f"{top.n_random} random directions stay below ({number(top.random95)})"
    )
