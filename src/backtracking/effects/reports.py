"""What a model reports after a steered decision: does the same dose move it towards "dead end"?"""

from backtracking.effects.seen import Case, Seen
from backtracking.records.measured import LOG_ODDS, RANDOM, Arm
from backtracking.records.rows.steering import Report
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect


def tabulate_reports(asked: Seen, case: Case, sign: int, bootstrap: Bootstrap) -> list[Report]:
    """One row per arm: the shift of its log-odds from the baseline's.

    Args:
        asked: a run of questions.
        case: of the decisions at which it was asked.
        sign: of the dose, which stands in the baseline's row too.
        bootstrap: resamples and level.
    """
    log_odds = asked.measured.values(LOG_ODDS).T
    shifts = bootstrap.intervals(log_odds - log_odds[:, :1], list(asked.decisions.problem))
    return [
        Report(asked.target, arm.name, arm.group, float(sign), case.name, shift)
        for arm, shift in zip(asked.arms, shifts, strict=True)
    ]


def shift_of(asked: Seen | None, arm: Arm, bootstrap: Bootstrap) -> Effect | None:
    """A direction's shift of a model's report against random ones; None if never asked."""
    if asked is None or arm not in asked.arms:
        return None
    baseline = asked.measured.values(LOG_ODDS, asked.arms[0])
    problems = list(asked.decisions.problem)
    shift = asked.measured.values(LOG_ODDS, arm) - baseline
    (interval,) = bootstrap.intervals(shift, problems)
    if interval.value is None:
        return None
    random = tuple(
        float((asked.measured.values(LOG_ODDS, one) - baseline).mean())
        for one in asked.measured.arms_of(group=RANDOM, dose=arm.dose)
    )
    return Effect(interval, {RANDOM: random}, 1 if arm.dose > 0 else -1)
