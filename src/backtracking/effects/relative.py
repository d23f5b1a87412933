"""An effect in other units: as a share of what the donor's state does, and in log-odds."""

import numpy as np

from backtracking.effects.seen import NO_INTERVAL, Case, Seen
from backtracking.records.intervals import Interval
from backtracking.records.measured import Arm
from backtracking.statistics.bootstrap import Bootstrap

LEAST = 0.01
"""Change of a probability below which the donor's state moves nothing of which there is a share."""


def share_of_ceiling(
    seen: Seen | None, arm: Arm | None, case: Case, bootstrap: Bootstrap
) -> Interval | None:
    """An arm's effect over that of the donor's state, on the decisions that have a donor.

    None where none has one, or the arm was not run there; without a value where the donor's state
    moves less than `LEAST`, or as well may move nothing.
    """
    if seen is None or arm is None or not seen.has(case):
        return None
    ceiling = seen.ceiling(case)
    if ceiling is None:
        return None
    both = np.stack([seen.change(arm, case), ceiling], axis=1)
    both[np.isnan(both).any(axis=1)] = np.nan
    moved = bootstrap.intervals(both[:, 1], seen.problems(case))[0]
    if moved.value is None or moved.low is None or moved.high is None:
        return NO_INTERVAL
    if abs(moved.value) < LEAST or moved.low <= 0 <= moved.high:
        return NO_INTERVAL
    return bootstrap.intervals(both, seen.problems(case), _share)[0]


def _share(means: np.ndarray) -> np.ndarray:
    undefined = np.full((len(means), 1), np.nan)
    return np.divide(means[:, :1], means[:, 1:], out=undefined, where=means[:, 1:] != 0)


def change_of_log_odds(
    seen: Seen, arm: Arm | None, case: Case, bootstrap: Bootstrap
) -> Interval | None:
    """What an arm does to the log-odds of the mean P(backtrack) of a case, in nats.

    Where backtracking is rare a probability hardly moves whatever is done to the model, and where
    it is common as little. None where the arm was not run; without a value where a mean is 0 or 1.
    """
    if arm is None or not seen.has(case):
        return None
    both = np.stack([seen.p(arm, case), seen.p(seen.arms[0], case)], axis=1)
    return bootstrap.intervals(both, seen.problems(case), _log_odds_ratio)[0]


def _log_odds_ratio(means: np.ndarray) -> np.ndarray:
    inside = np.where((means > 0) & (means < 1), means, np.nan)
    log_odds = np.log(inside) - np.log1p(-inside)
    return np.asarray(log_odds[:, :1] - log_odds[:, 1:])
