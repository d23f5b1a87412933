"""Intervals by problem, nulls, and norms and cosines corrected for noise.

The unit of every bootstrap is the problem, with all its rows: sentences of one problem are not
independent, and resampling them would give intervals that are too narrow. All arithmetic is in
float64. Inside arrays NaN means missing or undefined; in results that is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.records.intervals import Interval
from backtracking.statistics.corrected import ratio

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps means, `n columns`, to quantities, `n quantities`, row by row; NaN where undefined."""


@dataclass(frozen=True)
class Bootstrap:
    """Intervals by problem; every call's resamples are the first that the seed draws.

    So all calls on the same number of problems share their resamples, which are drawn once.

    Attributes:
        n_resamples: number of bootstrap resamples.
        level: nominal coverage.
        seed: of the resamples.
    """

    n_resamples: int
    level: float
    seed: int

    def __post_init__(self) -> None:
        if self.n_resamples < 1 or not 0 < self.level < 1:
            raise ValueError("n_resamples must be 1 or more, and level between 0 and 1.")

    def intervals(
        self,
        values: Shaped[np.ndarray, "rows ..."],
        problem_ids: Sequence[str],
        statistic: Statistic | None = None,
    ) -> list[Interval]:
        """Means of columns over rows, or a statistic of these means, with intervals by problem.

        A mean is a ratio of sums, so problems with more rows weigh more. All columns share the
        same resamples: a statistic that compares columns is paired. NaN counts nowhere.

        Args:
            values: one row per observation, one column per quantity (or no column axis).
            problem_ids: the problem of each row.
            statistic: function of the column means; by default the means themselves.

        Returns:
            One interval per column or quantity; its `n` counts problems with a value.
        """
        sums, counts = sum_by_problem(_as_columns(values), problem_ids)
        weights = _resampled(len(sums), self.n_resamples, self.seed)
        everything = np.ones((1, len(sums)))
        present = (counts > 0).sum(axis=0)
        point, replicates = (ratio(w @ sums, w @ counts) for w in (everything, weights))
        if statistic is not None:
            point, replicates = statistic(point), statistic(replicates)
            present = np.full(point.shape[1], (counts > 0).any(axis=1).sum())
        return [
            percentile_interval(float(point[0, column]), replicates[:, column], int(n), self.level)
            for column, n in enumerate(present)
        ]

    def differences(
        self,
        first: Shaped[np.ndarray, "rows_first ..."],
        first_problem_ids: Sequence[str],
        second: Shaped[np.ndarray, "rows_second ..."],
        second_problem_ids: Sequence[str],
    ) -> list[Interval]:
        """Means of `first` minus means of `second`, column by column, with intervals by problem.

        Paired by problem, not by row: both means use the same resample of the problems of either
        arm, and the arms may have different rows (free runs do).
        """
        a, b = _as_columns(first), _as_columns(second)
        stacked = np.full((len(a) + len(b), a.shape[1] + b.shape[1]), np.nan)
        stacked[: len(a), : a.shape[1]] = a
        stacked[len(a) :, a.shape[1] :] = b
        problem_ids = [*first_problem_ids, *second_problem_ids]
        return self.intervals(
            stacked, problem_ids, lambda m: m[:, : a.shape[1]] - m[:, a.shape[1] :]
        )


def resample_problems(
    n_problems: int, n_resamples: int, rng: np.random.Generator
) -> Float[np.ndarray, "n_resamples n_problems"]:
    """How often each problem is drawn in each bootstrap resample; rows sum to `n_problems`."""
    if n_problems < 1:
        raise ValueError("Expected at least one problem to resample, found none.")
    share = np.full(n_problems, 1 / n_problems)
    return rng.multinomial(n_problems, share, size=n_resamples).astype(np.float64)


def percentile_interval(
    value: float | None, replicates: Float[np.ndarray, " n_resamples"], n: int, level: float = 0.95
) -> Interval:
    """The interval between the outer percentiles of the replicates.

    Undefined replicates (NaN) are left out; where more than a share of 1 - `level` is undefined,
    or there is one problem only, or the value itself is undefined, so is the interval.
    """
    if value is None or not np.isfinite(value):
        return Interval(None, None, None, n)
    defined = replicates[np.isfinite(replicates)]
    if n < 2 or not len(defined) or len(defined) < level * len(replicates):
        return Interval(value, None, None, n)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), n)


def rates(
    k: Shaped[np.ndarray, " columns"], n: Shaped[np.ndarray, " columns"]
) -> list[float | None]:
    """k / n for each pair of counts; None where n is 0."""
    if ((k < 0) | (k > n)).any():
        raise ValueError(f"Expected counts between 0 and {n.tolist()}, found {k.tolist()}.")
    return [float(part) / float(whole) if whole else None for part, whole in zip(k, n, strict=True)]


def sum_by_problem(
    columns: Float[np.ndarray, "rows columns"], problem_ids: Sequence[str]
) -> tuple[Float[np.ndarray, "problems columns"], Float[np.ndarray, "problems columns"]]:
    """Sum and number of the values of every column in each problem; NaN counts nowhere.

    Without rows there is one problem in which nothing counts.
    """
    if len(columns) != len(problem_ids):
        found = f"{len(columns)} rows and {len(problem_ids)} problems"
        raise ValueError(f"Expected rows with one problem each, found {found}.")
    if not len(columns):
        return np.zeros((1, columns.shape[1])), np.zeros((1, columns.shape[1]))
    _, codes = np.unique(np.asarray(problem_ids), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    first_rows = np.flatnonzero(np.diff(codes[order], prepend=-1))
    missing = np.isnan(columns)
    sums = np.add.reduceat(np.where(missing, 0.0, columns)[order], first_rows)
    return sums, np.add.reduceat((~missing).astype(np.float64)[order], first_rows)


@lru_cache(maxsize=64)
def _resampled(n_problems: int, n_resamples: int, seed: int) -> np.ndarray:
    weights = resample_problems(n_problems, n_resamples, np.random.default_rng(seed))
    weights.flags.writeable = False
    return weights


def _as_columns(values: np.ndarray) -> np.ndarray:
    n_columns = int(np.prod(values.shape[1:]))
    return np.asarray(values, dtype=np.float64).reshape(len(values), n_columns)
