"""Is a direction needed: does backtracking stop where it is projected out, and the report stay?"""

import numpy as np

from backtracking.effects.rates import effect_of
from backtracking.effects.seen import NO_INTERVAL, Cases, Seen, is_baseline
from backtracking.records.intervals import Interval, Verdict, all_of
from backtracking.records.measured import LOG_ODDS, RANDOM, Arm
from backtracking.records.rows.steering import Necessity, Removed, ReportChange
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.nulls import random_bound

MARGIN = 0.05
"""Largest fall of the share of right reports with which the report counts as staying."""

NOT_ASKED = ReportChange(NO_INTERVAL, NO_INTERVAL, NO_INTERVAL)
"""Where there is no report."""


def necessity(
    seen: Seen, asked: Seen | None, cases: Cases, bootstrap: Bootstrap
) -> list[Necessity]:
    """For each direction, what projecting it out at decisions does to the model under study.

    Args:
        seen: directions projected out, and random ones as the null.
        asked: the same arms, asked for a report at dead ends; None where nothing was asked.
        cases: of decisions.
        bootstrap: resamples and level.
    """
    return [
        _row(seen, asked, arm, cases, bootstrap)
        for arm in seen.arms
        if not is_baseline(arm) and arm.group != RANDOM
    ]


def _row(seen: Seen, asked: Seen | None, arm: Arm, cases: Cases, bootstrap: Bootstrap) -> Necessity:
    effects = {
        case: effect_of(seen, arm, case, bootstrap)
        for case in (cases.dead, cases.live)
        if seen.has(case)
    }
    by_kind = {
        case.name: Removed(one.interval, one.bound, one.p, float(seen.p(seen.arms[0], case).mean()))
        for case, one in effects.items()
    }
    falls = effects[cases.dead].exceeds_random() if cases.dead in effects else "untestable"
    report, bound = NOT_ASKED, None
    if asked is not None:
        log_odds = asked.measured.values(LOG_ODDS)
        baseline, own = log_odds[0], log_odds[asked.measured.row(arm)]
        report = report_change(baseline, own, list(asked.decisions.problem), bootstrap)
        is_random = np.array([one.group == RANDOM for one in asked.arms])
        bound = float(random_bound((log_odds[is_random] - baseline).mean(axis=1), -1))
    stays = report_stays(report.right_baseline, report.right_change)
    parts: dict[str, Verdict] = {"backtracking_falls": falls, "report_stays": stays}
    verdict = all_of([falls, stays])
    return Necessity(seen.target, arm.name, by_kind, report, bound, parts, verdict)


def report_change(
    baseline: np.ndarray, arm: np.ndarray, problems: list[str], bootstrap: Bootstrap
) -> ReportChange:
    """At dead ends: share of right reports, and how an arm changes it.

    Args:
        baseline: log-odds of "dead end" against "goes on" at each decision.
        arm: the same with the direction projected out.
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
