"""How often an event of backtracking comes back, when the model writes on from before it."""

from collections.abc import Mapping

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import (
    dots,
    legend,
    lines_of_names,
    role_looks,
    roles,
    told,
)
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import canvas, styled
from backtracking.records.intervals import Interval
from backtracking.records.rows.measures import EventMeasure

EVENTS = {"backtracking": "backtracking by its label", "keyword": "backtracking by its word"}


@styled
def stability(study: Study) -> Picture:
    """The share of continuations from before an event that backtrack again, by kind of decision."""
    rows = [row for row in study.rows(EventMeasure) if "_stability" in row.measure]
    rows = [row for row in rows if row.share.value is not None]
    models = [role for role in roles(study) if any(row.role == role for row in rows)]
    if not models:
        return Absent("No event was generated again: the stage `stability` is off or found none.")
    by_measure = {(row.role, row.measure): row.share for row in rows}
    kinds = list(dict.fromkeys(row.measure.partition("_stability")[2][1:] for row in rows))
    title = _stability_title(models[0], by_measure)
    height = 1.15 + 0.1 * len(kinds) * (len(models) + 1)
    figure, axes = canvas(title, max(height, 2), columns=2, sharey=True, sharex=True)
    looks = role_looks(study)
    for axis, (event, words) in zip(axes, EVENTS.items(), strict=True):
        for number_, role in enumerate(models):
            shift = 0.75 * ((number_ + 0.5) / len(models) - 0.5)
            names = ["_".join(filter(None, [f"{event}_stability", kind])) for kind in kinds]
            shares = [by_measure.get((role, name)) for name in names]
            dots(
                axis, [at + shift for at in range(len(kinds))], shares, looks[role], label=role,
            )  # fmt: skip
        lines_of_names(axis, [kind or "all events" for kind in kinds])
        axis.set_title(words, loc="left")
        axis.set_xlabel("share that backtracks again")
        axis.set_xlim(0, 1)
    legend(figure, axes, 5)
    return Drawn(title, figure)


def _stability_title(role: str, by_measure: Mapping[tuple[str, str], Interval]) -> str:
    share = next(
        by_measure[role, f"{event}_stability"]
        for event in EVENTS
        if (role, f"{event}_stability") in by_measure
    )
    return (
        f"From before an event of backtracking, {role} backtracks again in {told(share)} of the "
        "continuations"
    )
