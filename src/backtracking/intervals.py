"""Intervals by problem for statistics that have a bound: leave one problem out, Student's t.

The percentile bootstrap holds its level for means and their differences. For an AUROC near 1 it
does not, nor for a corrected norm (`benchmarks/coverage.py` counts both): such a statistic is
skewed, and with some tens of problems the percentiles are too close together. Here its error comes
from leaving out each problem in turn (the jackknife; Efron and Stein, Annals of Statistics 1981),
on a scale on which it is about normal, and the quantile is Student's with a degree less than there
are problems. It is also cheaper: as many replicates as problems.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, logit
from scipy.stats import t as student

from backtracking.statistics import Interval, auroc, aurocs


@dataclass(frozen=True)
class Scale:
    """A monotone scale on which an estimate is about normal, and the way back."""

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


PLAIN = Scale(np.asarray, np.asarray)
"""For means and for corrected cosines, which may lie above 1."""

LOG = Scale(np.log, np.exp)
"""For norms, which are above 0."""

LOGIT = Scale(logit, expit)
"""For rates and AUROCs, which are between 0 and 1."""


def leave_one_out(n_problems: int) -> Float[np.ndarray, "n_problems n_problems"]:
    """Weights of the problems, a row for each one that is left out."""
    return np.ones((n_problems, n_problems)) - np.eye(n_problems)


def jackknife_interval(
    value: float | None,
    left_out: Float[np.ndarray, " n_problems"],
    level: float,
    scale: Scale = PLAIN,
) -> Interval:
    """A value with its interval from the values without each problem.

    Undefined, and None, where the value or any of the others is, or lies on the scale's end (an
    AUROC of 1): nothing is then known of its error.

    Args:
        value: the estimate from all problems.
        left_out: the estimate without each of them, as from the weights of `leave_one_out`.
        level: nominal coverage.
        scale: on which the interval is symmetric.
    """
    n = len(left_out)
    if value is None or not np.isfinite(value):
        return Interval(None, None, None, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, others = scale.there(np.array(value)), scale.there(left_out)
    if n < 2 or not np.isfinite([middle, *others]).all():
        return Interval(value, None, None, n)
    error = np.sqrt((n - 1) / n * ((others - others.mean()) ** 2).sum())
    reach = student.ppf((1 + level) / 2, n - 1) * error
    low, high = scale.back(np.array([middle - reach, middle + reach]))
    return Interval(value, float(low), float(high), n)


def auroc_interval(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    problem_ids: Sequence[str],
    level: float,
    stratum: Int[np.ndarray, " rows"] | None = None,
) -> Interval:
    """`statistics.auroc` with its interval by problem, on the logit scale.

    The scores count as given: of a direction or a probe that was fitted on other problems.
    """
    names, number = np.unique(np.asarray(problem_ids), return_inverse=True)
    value = auroc(scores, is_positive, stratum)
    left_out = aurocs(scores, is_positive, leave_one_out(len(names))[:, number], stratum)
    return jackknife_interval(value, left_out, level, LOGIT)
