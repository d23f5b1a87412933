"""Intervals by problem, by code of its own: the bootstrap, and leaving out one problem in turn."""

from collections.abc import Callable

import numpy as np
from scipy import stats

N_OWN = 20_000
"""Resamples of our own: their error is small beside that of the study's."""


def bootstrap(
    values: list[float], problems: list[str], level: float, over: list[float] | None = None
) -> tuple[float, float, float]:
    """Ends of the percentile interval of a mean over rows, and the mean's standard deviation.

    Whole problems are drawn, with all their rows. With `over` it is the ratio to another mean,
    undefined where that is not above 0. An interval of which many draws are undefined is so too.
    """
    names, owner = np.unique(problems, return_inverse=True)
    over = [1.0] * len(values) if over is None else over
    sums, others = (np.bincount(owner, one, len(names)) for one in (values, over))
    drawn = np.random.default_rng(987).integers(len(names), size=(N_OWN, len(names)))
    below = others[drawn].sum(axis=1)
    means = (sums[drawn].sum(axis=1) / np.where(below > 0, below, np.nan))[below > 0]
    if len(names) < 2 or len(means) < level * N_OWN:
        return np.nan, np.nan, np.nan
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high), float(means.std())


def error_of_end(deviation: float, level: float, n_resamples: int) -> float:
    """How far apart two bootstraps' ends may be by chance: four standard errors.

    The q-quantile of n draws has the standard error sqrt(q (1 - q) / n) / density; the density is
    that of a normal law with the bootstrap's standard deviation. The two bootstraps' add up.
    """
    q = (1 - level) / 2
    density = stats.norm.pdf(stats.norm.ppf(q)) / deviation
    return 4 * float(np.sqrt(q * (1 - q) * (1 / n_resamples + 1 / N_OWN)) / density)


def jackknife(
    statistic: Callable[[np.ndarray], float], problems: list[str], level: float
) -> tuple[float, float]:
    """Ends of Student's interval around a statistic of rows, from leaving out each problem.

    Args:
        statistic: of the rows that a mask keeps.
        problems: of each row.
        level: nominal coverage.
    """
    owner, names = np.array(problems), sorted(set(problems))
    value = statistic(np.ones(len(owner), dtype=bool))
    others = np.array([statistic(owner != name) for name in names])
    n = len(names)
    error = np.sqrt((n - 1) / n * ((others - others.mean()) ** 2).sum())
    reach = error * stats.t.ppf((1 + level) / 2, n - 1)
    return value - reach, value + reach
