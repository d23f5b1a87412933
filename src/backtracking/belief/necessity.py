"""Is a direction necessary for acting, and is it for the report? It is projected out to see.

At visible dead ends: does P(backtrack) fall when the direction is taken out of the residual stream,
more than when random ones are, and does the model go on to report the dead end?
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from backtracking.belief.doses import Candidate
from backtracking.belief.measure import Subject, ask_in_parts, clean_arm, random_at, record
from backtracking.belief.plan import Plan, Points, Run
from backtracking.belief.tables import EDIT_SET
from backtracking.belief.trial import DIRECTION, RANDOM
from backtracking.models.prefixes import SPANS, Edit, Span, no_edit
from backtracking.records.measured import Arm, Measured
from backtracking.records.rows.belief import Necessity, Without
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

REPORT_KEPT = 0.5
"""Share of the clean report's log-odds that has to be left for the report to be said to stay."""

Effects = Mapping[int, tuple[float, ...]]
"""By layer: what projecting random directions out does to P(backtrack), whatever the edit set."""


def project(
    plan: Plan, subject: Subject, points: Points, run: Run, *, with_random: bool
) -> Measured:
    """Readouts A and B at dead ends with each direction, and the plan's random ones, projected out.

    Random directions are projected out at the deciding token, where both edit sets are one edit.
    """
    layers = sorted({one.layer for one in subject.candidates})
    randoms = random_at(plan, subject.loaded.d_model, layers) if with_random else []
    arms, rows = [clean_arm()], [no_edit(subject.loaded)]

    def add(one: Candidate, group: str, span: Span) -> None:
        arms.append(Arm(one.name, group, 0.0, span, "project_out", one.place, one.layer))
        rows.append(Edit("project_out", one.layer, one.unit, span))

    for one in subject.candidates:
        for span in SPANS:
            add(one, DIRECTION, span)
    for one in randoms:
        add(one, RANDOM, "decision")
    wanted = (subject.loaded, points.dead_ends, rows, 0)
    (asked,) = ask_in_parts([wanted], points.words, plan.rows_per_batch, run)
    return record(subject.role, "dead_ends", arms, asked, points.dead_ends)


def null_of(measured: Measured) -> Effects:
    """The random directions' effects, by layer."""
    p = measured.values("p_backtrack")
    effects: dict[int, tuple[float, ...]] = {}
    for row, arm in enumerate(measured.arms):
        if arm.group == RANDOM and arm.layer is not None:
            change = float((p[row] - p[0]).mean())
            effects[arm.layer] = (*effects.get(arm.layer, ()), change)
    return effects


def tabulate_necessity(
    measured: Measured, problems: Sequence[str], null: Effects, bootstrap: Bootstrap
) -> list[Necessity]:
    """One row per direction, layer and edit set, against the null of its layer."""
    p, b = measured.values("p_backtrack"), measured.values("b")
    found = []
    for row, arm in enumerate(measured.arms):
        if arm.group == DIRECTION and arm.layer is not None:
            own = necessity_of(p[[0, row]], b[[0, row]], null[arm.layer], problems, bootstrap)
            place = measured.target, arm.name, arm.layer, EDIT_SET[arm.where]
            clean = float(p[0].mean()), float(b[0].mean())
            found.append(Necessity(*place, *clean, own, own.change.n))
    return found


def necessity_of(
    p: Float[np.ndarray, "2 pairs"],
    b: Float[np.ndarray, "2 pairs"],
    null: Sequence[float],
    problems: Sequence[str],
    bootstrap: Bootstrap,
) -> Without:
    """What taking one direction out does to P(backtrack) and B; the first row is the clean run.

    *falls*: P(backtrack) falls, by more than under 95 % of random directions. *stays*: the report's
    log-odds keep half of their mean, by the lower end of the ratio's interval. The direction is
    *necessary* for acting alone where both hold.
    """
    (change,) = bootstrap.intervals(p[1] - p[0], problems)
    (kept,) = bootstrap.intervals(b.T, problems, _second_over_first)
    effect = Effect(change, {"random": tuple(null)}, sign=-1)
    stays = "untestable" if kept.low is None else "holds" if kept.low > REPORT_KEPT else "fails"
    return Without(change, effect.bound, effect.p, kept, effect.verdict, stays)


def _second_over_first(means: np.ndarray) -> np.ndarray:
    return means[:, 1:] / np.where(means[:, :1] > 0, means[:, :1], np.nan)
