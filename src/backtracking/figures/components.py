"""What backtracking and the solve rate come to without a component."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from backtracking.claims.literature.study import Study
from backtracking.figures.parts import dots, legend, lines_of_names, role_looks, told, value_of
from backtracking.figures.picture import Absent, Drawn, Picture
from backtracking.figures.style import INK, OKABE_ITO, SOFT, Look, canvas, styled
from backtracking.records.rows.components import AblatedForced, Specific, TopOutcome
from backtracking.report.words import number

MEASURES = {"solve_rate": "problems\nsolved", "backtracking_rate": "backtracking\na sentence"}


@styled
def components(study: Study) -> Picture:
    """Single components at dead ends, teacher-forced, beside whole generations without the top."""
    forced = [
        row for row in study.rows(AblatedForced)
        if row.kind == study.dead and row.ablated.value_written == "mean"
    ]  # fmt: skip
    if not forced:
        return Absent("No component was taken away: the stage `ablate` wrote no row.")
    outcomes = [row for row in study.rows(TopOutcome) if row.measure in MEASURES]
    title = _title(study, forced, outcomes)
    named = list(dict.fromkeys(row.ablated.component for row in forced))
    sets = list(dict.fromkeys((row.target, row.k) for row in outcomes))
    height = 1.5 + 0.27 * max(len(named), len(sets))
    widths = [1.5, 1, 1] if sets else [1]
    figure, axes = canvas(title, height, columns=len(widths), width_ratios=widths)
    _draw_forced(axes[0], forced, named, role_looks(study))
    axes[0].set_xlabel(f"change of P(an opener) at {study.dead}")
    for axis, (measure, words) in zip(axes[1:], MEASURES.items(), strict=False):
        here = {(row.target, row.k): row for row in outcomes if row.measure == measure}
        _draw_outcomes(axis, [here.get(one) for one in sets])
        lines_of_names(axis, [f"{role}, top {k}" for role, k in sets])
        axis.set_xlabel(words)
        axis.set_xlim(left=-0.04 * axis.get_xlim()[1])
    for axis in axes[2:]:
        axis.set_yticklabels([])
    legend(figure, axes)
    return Drawn(title, figure)


def _draw_forced(
    axis: Axes, rows: Sequence[AblatedForced], names: Sequence[str], looks: Mapping[str, Look]
) -> None:
    models = [role for role in looks if any(row.ablated.target == role for row in rows)]
    for number_, role in enumerate(models):
        shift = 0.7 * ((number_ + 0.5) / len(models) - 0.5)
        for place, fill in (("decision", looks[role].color), ("other", "none")):
            here = {
                row.ablated.component: row.change
                for row in rows
                if (row.ablated.target, row.ablated.place) == (role, place)
            }
            at = [names.index(name) + shift for name in here]
            label = role if place == "decision" else None
            dots(
                axis, at, list(here.values()), looks[role], label=label, markerfacecolor=fill,
                markeredgewidth=0.7, markersize=3,
            )  # fmt: skip
    dots(
        axis, [], [], Look(SOFT, "o"), label="the same at other sentence ends",
        markerfacecolor="none", markersize=3,
    )  # fmt: skip
    axis.axvline(0, color=SOFT, linewidth=0.6, zorder=0)
    lines_of_names(axis, names)


def _draw_outcomes(axis: Axes, rows: Sequence[TopOutcome | None]) -> None:
    for at, row in enumerate(rows):
        if row is None:
            continue
        found = row.outcome
        start = value_of(found.baseline)
        random = [start + value_of(one) for one in found.random]
        axis.plot(
            random, [at] * len(random), marker="|", linestyle="", markersize=8, color=SOFT,
            label="without others of the same kinds",
        )  # fmt: skip
        dots(axis, [at - 0.15], [found.baseline], Look(INK, "o"), label="whole model")
        dots(axis, [at + 0.15], [found.level], Look(OKABE_ITO[1], "s"), label="without the top")


def _title(study: Study, forced: Sequence[AblatedForced], outcomes: Sequence[TopOutcome]) -> str:
    own = {row.measure: row for row in outcomes if row.target == study.studied and row.k == 1}
    if len(own) == len(MEASURES):
        solved, back = own["solve_rate"].outcome, own["backtracking_rate"].outcome
        named = _named(study)
        return (
            f"Without {named}, {study.studied} backtracks in {told(back.level)} of its sentences "
            f"instead of {number(back.baseline.value)}, and solves {number(solved.level.value)} of "
            f"the problems instead of {number(solved.baseline.value)}"
        )
    rows = [row for row in forced if row.ablated.place == "decision"] or list(forced)
    most = min(rows, key=lambda row: value_of(row.change))
    return (
        f"Without {most.ablated.component} P(an opener) of {most.ablated.target} at "
        f"{study.dead} changes by {told(most.change)}, the most of all components"
    )


def _named(study: Study) -> str:
    """The first component of the ranking by its name, where the claim about it has it."""
    for row in study.rows(Specific):
        if row.target == study.studied and len(row.components) == 1:
            return row.components[0]
    return "its first component"
