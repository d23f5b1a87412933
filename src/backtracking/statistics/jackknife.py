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

from backtracking.records.intervals import Interval
from backtracking.statistics.auroc import auroc, aurocs


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
    others = np.where(np.isnan(left_out), np.inf, left_out)  # all problems count, none is absent
    low, high = jackknife_ends(np.array([value]), others[None], level, scale)
    if not np.isfinite([low, high]).all():
        return Interval(value, None, None, n)
    return Interval(value, float(low[0]), float(high[0]), n)


def jackknife_ends(
    value: Float[np.ndarray, " cells"],
    left_out: Float[np.ndarray, "cells n_problems"],
    level: float,
    scale: Scale = PLAIN,
) -> tuple[Float[np.ndarray, " cells"], Float[np.ndarray, " cells"]]:
    """Ends of the intervals of many values, NaN where they are undefined.

    Args:
        value: the estimates from all problems.
        left_out: the estimates without each problem; NaN where a cell has nothing of the problem,
            infinite where it has no estimate without it.
        level: nominal coverage.
        scale: on which the intervals are symmetric.
    """
    absent = np.isnan(left_out)
    n = (~absent).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = scale.there(value)
        others = np.where(absent, 0.0, scale.there(left_out))
    fine = (n > 1) & np.isfinite(middle) & np.isfinite(others).all(axis=1)
    low, high = np.full((2, len(value)), np.nan)
    others, absent, n, middle = others[fine], absent[fine], n[fine], middle[fine]
    mean = others.sum(axis=1) / n
    squares = np.where(absent, 0.0, (others - mean[:, None]) ** 2).sum(axis=1)
    reach = student.ppf((1 + level) / 2, n - 1) * np.sqrt((n - 1) / n * squares)
    low[fine], high[fine] = scale.back(middle - reach), scale.back(middle + reach)
    return low, high


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
