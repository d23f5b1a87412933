"""Is a direction needed: does backtracking stop where it is projected out, and the report stay?"""

from dataclasses import asdict
from typing import Any

import numpy as np

from backtracking.effects.rates import Rows, effect_of
from backtracking.effects.seen import Cases, Seen, is_baseline
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.measured import LOG_ODDS, RANDOM, Arm
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import all_of
from backtracking.statistics.nulls import random_bound

MARGIN = 0.05
"""Largest fall of the share of right reports with which the report counts as staying."""


def necessity(seen: Seen, asked: Seen | None, cases: Cases, bootstrap: Bootstrap) -> Rows:
    """For each direction, what projecting it out at decisions does to the model under study.

    Args:
        seen: directions projected out, and random ones as the null.
        asked: the same arms, asked for a report at dead ends; None where nothing was asked.
        cases: of decisions.
        bootstrap: resamples and level.
    """
    return [
        {"target": seen.target, "direction": arm.name} | _row(seen, asked, arm, cases, bootstrap)
        for arm in seen.arms
        if not is_baseline(arm) and arm.group != RANDOM
    ]


def _row(
    seen: Seen, asked: Seen | None, arm: Arm, cases: Cases, bootstrap: Bootstrap
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    falls: Verdict = "untestable"
    stays: Verdict = "untestable"
    for case in (cases.dead, cases.live):
        if not seen.has(case):
            continue
        effect = effect_of(seen, arm, case, bootstrap)
        row |= {f"{case.name}_{key}": value for key, value in asdict(effect.interval).items()}
        row |= {f"{case.name}_random_bound": effect.bound, f"{case.name}_p": effect.p}
        row[f"{case.name}_baseline"] = float(seen.p(seen.arms[0], case).mean())
        if case == cases.dead:
            falls = effect.exceeds_random()
    if asked is not None:
        log_odds = asked.measured.values(LOG_ODDS)
        baseline = log_odds[0]
        problems = list(asked.decisions.problem)
        found = report_change(baseline, log_odds[asked.measured.row(arm)], problems, bootstrap)
        stays = report_stays(found["right_baseline"], found["right_change"])
        for key, interval in found.items():
            row |= {f"{key}_{end}": value for end, value in asdict(interval).items()}
        is_random = np.array([one.group == RANDOM for one in asked.arms])
        shifts = (log_odds[is_random] - baseline).mean(axis=1)
        row["log_odds_change_random_bound"] = float(random_bound(shifts, -1))
    return row | {
        "parts": {"backtracking_falls": falls, "report_stays": stays},
        "verdict": all_of([falls, stays]),
    }


def report_change(
    baseline: np.ndarray, arm: np.ndarray, problems: list[str], bootstrap: Bootstrap
) -> dict[str, Interval]:
    """At dead ends: share of right reports, and how an arm changes it.

    Args:
        baseline: log-odds of "dead end" against "goes on" at each decision.
        arm: the same with the direction projected out.
        problems: the problem of each decision.
        bootstrap: resamples and level.
    """
    right, still = (baseline > 0).astype(float), (arm > 0).astype(float)
    columns = np.stack([right, still - right, arm - baseline], axis=1)
    intervals = bootstrap.intervals(columns, problems)
    return dict(zip(("right_baseline", "right_change", "log_odds_change"), intervals, strict=True))


def report_stays(baseline: Interval, change: Interval) -> Verdict:
    """Holds where the share of right reports falls by less than `MARGIN`, at 95 %.

    Untestable where the model does not report right to begin with, or the interval holds `MARGIN`.
    """
    if baseline.low is None or change.low is None or change.high is None or baseline.low <= 0.5:
        return "untestable"
    if change.low > -MARGIN:
        return "holds"
    return "fails" if change.high < -MARGIN else "untestable"
