"""Is a direction needed: does backtracking stop where it is taken away, and the report stay?

Taken away is what lies along it where it is set to the mean of the live decisions: a projection of
0 is no neutral state, and may itself make a model backtrack.
"""

import numpy as np

from backtracking.effects.rates import effect_of
from backtracking.effects.seen import (
    AFFINE,
    NO_INTERVAL,
    NULLS,
    Cases,
    Seen,
    is_baseline,
)
from backtracking.records.intervals import Interval, Verdict, all_of
from backtracking.records.measured import LOG_ODDS, RANDOM, RETRAINED, Arm
from backtracking.records.rows.steering import Necessity, Removed, ReportChange
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.nulls import random_bound

MARGIN = 0.05
"""Largest fall of the share of right reports with which the report counts as staying."""

NO_DIRECTION = (RANDOM, RETRAINED, *NULLS)
"""Groups of arms that have no row of their own."""

NOT_ASKED = ReportChange(NO_INTERVAL, NO_INTERVAL, NO_INTERVAL)
"""Where there is no report."""


def necessity(
    seen: Seen, asked: Seen | None, cases: Cases, bootstrap: Bootstrap
) -> list[Necessity]:
    """For each direction, what taking it away at decisions does to the model under study.

    Args:
        seen: directions set to the live mean, or projected out where that was not run, and their
            nulls.
        asked: the same arms, asked for a report at dead ends; None where nothing was asked.
        cases: of decisions.
        bootstrap: resamples and level.
    """
    arms = [arm for arm in seen.arms if not (is_baseline(arm) or arm.group in NO_DIRECTION)]
    affine = {arm.place for arm in arms if arm.edit == AFFINE}
    kept = [arm for arm in arms if arm.edit == AFFINE or arm.place not in affine]
    return [_row(seen, asked, arm, cases, bootstrap) for arm in kept]


def _row(seen: Seen, asked: Seen | None, arm: Arm, cases: Cases, bootstrap: Bootstrap) -> Necessity:
    effects = {
        case: effect_of(seen, arm, case, bootstrap)
        for case in (cases.dead, cases.live)
        if seen.has(case)
    }
    by_kind = {
        case.name: Removed(
            one.interval, one.bound, one.p, float(np.nanmean(seen.p(seen.arms[0], case))), one.legal
        )
        for case, one in effects.items()
    }
    falls = effects[cases.dead].verdict if cases.dead in effects else "untestable"
    report, bound = NOT_ASKED, None
    if asked is not None and arm in asked.arms:
        log_odds = asked.measured.values(LOG_ODDS)
        baseline, own = log_odds[0], log_odds[asked.measured.row(arm)]
        report = report_change(baseline, own, list(asked.decisions.problem), bootstrap)
        is_null = np.array([one.group in (RANDOM, *NULLS) for one in asked.arms])
        bound = float(random_bound((log_odds[is_null] - baseline).mean(axis=1), -1))
    stays = report_stays(report.right_baseline, report.right_change)
    parts: dict[str, Verdict] = {"backtracking_falls": falls, "report_stays": stays}
    verdict = all_of([falls, stays])
    return Necessity(seen.target, arm.name, arm.edit, by_kind, report, bound, parts, verdict)


def report_change(
    baseline: np.ndarray, arm: np.ndarray, problems: list[str], bootstrap: Bootstrap
) -> ReportChange:
    """At dead ends: share of right reports, and how an arm changes it.

    Args:
        baseline: log-odds of "dead end" against "goes on" at each decision.
        arm: the same with the direction taken away.
        problems: the problem of each decision.
        bootstrap: resamples and level.
    """
    right, still = (baseline > 0).astype(float), (arm > 0).astype(float)
    columns = np.stack([right, still - right, arm - baseline], axis=1)
    return ReportChange(*bootstrap.intervals(columns, problems))


def report_stays(baseline: Interval, change: Interval) -> Verdict:
    """Holds where the share of right reports falls by less than `MARGIN`, at 95 %.

    Untestable where the model does not report right to begin with, or the interval holds `MARGIN`.
    """
    if baseline.low is None or change.low is None or change.high is None or baseline.low <= 0.5:
        return "untestable"
    if change.low > -MARGIN:
        return "holds"
    return "fails" if change.high < -MARGIN else "untestable"
