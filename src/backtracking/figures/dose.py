"""P(backtrack) against the dose, at live and at dead decisions, along every direction."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import ends, legend, role_looks, told, value_of
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import FAINT, INK, SOFT, Look, canvas, styled
from backtracking.records.measured import ACTION, BASELINE
from backtracking.records.rows.arms import Forced
from backtracking.records.rows.choice import Magnitude
from backtracking.records.rows.table import first
from backtracking.report.tables import decided, is_random, random_levels
from backtracking.report.words import number

ENDPOINTS = {"P_back": "P(backtrack)", "P_open": "P(an opener)"}
AFFINE = "set_projection"


@styled
def dose(study: Study) -> Picture:
    """Both classes of decisions beside one another, random directions as the band they fill."""
    added = {kind: decided(study, kind) for kind in (study.live, study.dead)}
    if not any(row.arm.dose for row in added[study.live]):
        return Absent("Nothing was added to the model under study at live decisions.")
    title, endpoint = _title(study, added[study.live]), _endpoint(added[study.live])
    figure, axes = canvas(title, 3.7, columns=2, sharey=True)
    for axis, (kind, rows) in zip(axes, added.items(), strict=True):
        _draw(axis, rows, study)
        _draw_affine(axis, decided(study, kind, AFFINE), study)
        axis.set_title(f"decisions: {kind}", loc="left")
        axis.set_xlabel("dose, in norms of the model's own direction")
        _second_unit(axis, study)
    axes[0].set_ylabel(endpoint)
    axes[0].set_ylim(-0.03, 1.03)
    legend(figure, axes)
    return Drawn(title, figure)


def _endpoint(rows: Sequence[Forced]) -> str:
    return next((ENDPOINTS[row.endpoint] for row in rows if row.arm.dose), ENDPOINTS["P_back"])


def _title(study: Study, rows: Sequence[Forced]) -> str:
    """What the base's direction does at the dose nearest to 1, beside random ones."""
    along = [row for row in rows if row.arm.direction == study.base and row.arm.dose > 0]
    along = along or [row for row in rows if row.arm.dose and not is_random(row)] or list(rows)
    there = min(along, key=lambda row: abs(row.arm.dose - 1))
    here = [row for row in rows if row.arm.dose == there.arm.dose]
    before = next((row for row in rows if row.arm.direction == BASELINE), None)
    start = f"from {number(before.level.value)} " if before else ""
    text = (
        f"Added at dose {there.arm.dose:g}, the direction of {there.arm.direction} takes "
        f"{_endpoint(rows)} at {study.live} {start}to {told(there.level)}"
    )
    null = random_levels(here)
    ends_at = f"; {len(null)} random directions end at {number(max(null))} or below" if null else ""
    return f"{text}{ends_at}"


def _draw(axis: Axes, rows: Sequence[Forced], study: Study) -> None:
    base = [row for row in rows if row.arm.direction == BASELINE]
    _draw_random(axis, [*base, *(row for row in rows if is_random(row))])
    for name, look in _directions(study).items():
        along = [row for row in rows if row.arm.direction == name and not is_random(row)]
        if along:
            line = sorted([*base, *along], key=lambda row: row.arm.dose)
            levels = [row.level for row in line]
            axis.errorbar(
                [row.arm.dose for row in line], [value_of(one) for one in levels],
                yerr=ends(levels), color=look.color, marker=look.marker, elinewidth=0.7,
                label=_label(study, name), zorder=look.zorder,
                **({} if name in (study.studied, study.base, ACTION) else MINOR),
            )  # fmt: skip


MINOR = {"linestyle": ":", "linewidth": 0.8, "markersize": 2.5}
"""How arms that no claim is about are drawn."""


def _directions(study: Study) -> dict[str, Look]:
    return role_looks(study) | {ACTION: Look(INK, "*", 2.0)}


def _label(study: Study, name: str) -> str:
    known = {
        study.studied: f"{name}: its own",
        study.base: f"{name}: its base's",
        ACTION: "the action (unembedding)",
    }
    return known.get(name, name)


def _draw_random(axis: Axes, rows: Sequence[Forced]) -> None:
    doses = sorted({row.arm.dose for row in rows})
    if len(doses) < 2:
        return
    at = [[value_of(row.level) for row in rows if row.arm.dose == dose] for dose in doses]
    low, high = [min(one) for one in at], [max(one) for one in at]
    axis.fill_between(doses, low, high, color=FAINT, linewidth=0, label="random, least to most")


def _draw_affine(axis: Axes, rows: Sequence[Forced], study: Study) -> None:
    """What the other edit does, which has no dose: rings at the sign of the class."""
    for name, look in _directions(study).items():
        for row in rows:
            if row.arm.edit == AFFINE and row.arm.direction == name:
                axis.errorbar(
                    [row.arm.dose], [value_of(row.level)], yerr=ends([row.level]), marker="o",
                    markersize=6, markerfacecolor="none", color=look.color, elinewidth=0.7,
                    linestyle="",
                )  # fmt: skip
    if any(row.arm.edit == AFFINE for row in rows):
        axis.plot(
            [], [], marker="o", markersize=6, markerfacecolor="none", color=SOFT, linestyle="",
            label="rings: projection set to the other class's mean",
        )  # fmt: skip


def _second_unit(axis: Axes, study: Study) -> None:
    """The same doses in mean norms of the residual stream, on top."""
    found = first(study.rows(Magnitude), role=study.studied)
    if found is None or not found.mean_residual_norms:
        return
    unit = found.mean_residual_norms
    both_ways = (partial(np.multiply, unit), partial(np.multiply, 1 / unit))
    top = axis.secondary_xaxis("top", functions=both_ways)
    top.set_xlabel("dose, in mean norms of its residual stream")
