"""Intervals by problem, by code of its own: the bootstrap, and leaving out one problem in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

N_STUDIES = 200
"""Bootstraps of our own, each as large as the study's: their spread is the error of its ends."""


@dataclass(frozen=True)
class Ends:
    """Ends of a percentile interval, and how far another bootstrap's may lie from them by chance.

    The ends are means over bootstraps; what is allowed is four of their standard deviations.
    """

    low: float
    high: float
    reach_low: float
    reach_high: float


def bootstrap(
    values: np.ndarray,
    problems: list[str],
    statistics: Mapping[str, Any],
    over: np.ndarray | None = None,
    n_directions: int = 1,
) -> Ends:
    """The interval of a mean over rows: whole problems are drawn, with all their rows.

    Args:
        values: rows, or directions by rows: then each draw takes one of those that a study has.
        problems: of each row.
        statistics: how many resamples, and the level.
        over: with it, the ratio to another mean, undefined where that is not above 0.
        n_directions: that a study has.
    """
    names, owner = np.unique(problems, return_inverse=True)
    over = np.ones(len(owner)) if over is None else over
    sums = np.stack([np.bincount(owner, one, len(names)) for one in np.atleast_2d(values)], axis=1)
    others, n, level = np.bincount(owner, over, len(names)), len(names), statistics["level"]
    size, rng, found = statistics["n_resamples"], np.random.default_rng(987), []
    outer = [(1 - level) / 2, (1 + level) / 2]
    for _ in range(N_STUDIES):
        weights = rng.multinomial(n, np.full(n, 1 / n), size=size)
        chosen = rng.choice(sums.shape[1], size=n_directions)[rng.integers(n_directions, size=size)]
        means, below = (weights * sums[:, chosen].T).sum(axis=1), weights @ others
        defined = means[below > 0] / below[below > 0]
        is_defined = n > 1 and len(defined) >= level * size
        found.append(np.quantile(defined, outer) if is_defined else [np.nan, np.nan])
    ends = np.array(found)
    return Ends(*ends.mean(axis=0).tolist(), *(4 * ends.std(axis=0)).tolist())


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
