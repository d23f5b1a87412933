"""Intervals by problem, nulls, and norms and cosines corrected for noise.

The unit of every bootstrap is the problem, with all its rows: sentences of one problem are not
independent, and resampling them would give intervals that are too narrow. All arithmetic is in
float64. Inside arrays NaN means missing or undefined; in results that is None.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps means, `n columns`, to quantities, `n quantities`, row by row; NaN where undefined."""


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval; None where undefined.

    Attributes:
        value: the estimate from all problems.
        low: lower end.
        high: upper end.
        n: number of problems.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Bootstrap:
    """Intervals by problem; every call draws its resamples anew from the seed.

    So all calls on the same number of problems share their resamples.

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
        sums, counts = _sum_by_problem(_as_columns(values), problem_ids)
        weights = resample_problems(len(sums), self.n_resamples, np.random.default_rng(self.seed))
        everything = np.ones((1, len(sums)))
        present = (counts > 0).sum(axis=0)
        point, replicates = (_ratio(w @ sums, w @ counts) for w in (everything, weights))
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


def random_direction_p(value: float, random_values: Float[np.ndarray, " n_random"]) -> float:
    """p of "more than a random direction": (1 + #{random >= value}) / (1 + K)."""
    if not len(random_values) or np.isnan([value, *random_values]).any():
        raise ValueError(f"Expected numbers to compare, found {value} and {random_values}.")
    return float((1 + (random_values >= value).sum()) / (1 + len(random_values)))


def random_bound(random_values: Shaped[np.ndarray, "... n_random"], sign: int = 1) -> np.ndarray:
    """What 95 % of random directions stay below (with sign -1: above), along the last axis.

    The order statistic for which "beyond the bound" and "p of at most 0.05" (`random_direction_p`)
    are one thing: of 39 directions the 38th. An interpolated percentile lies lower and lets
    p = 0.075 pass. Below 19 directions no p is so small, and the bound is the most extreme of them.
    """
    n_random = random_values.shape[-1]
    rank = min(n_random - (n_random + 1) // 20, n_random - 1)
    return np.asarray(sign * np.sort(sign * random_values, axis=-1)[..., rank])


def rates(
    k: Shaped[np.ndarray, " columns"], n: Shaped[np.ndarray, " columns"]
) -> list[float | None]:
    """k / n for each pair of counts; None where n is 0."""
    if ((k < 0) | (k > n)).any():
        raise ValueError(f"Expected counts between 0 and {n.tolist()}, found {k.tolist()}.")
    return [float(part) / float(whole) if whole else None for part, whole in zip(k, n, strict=True)]


def split_halves(
    n_problems: int, n_splits: int, rng: np.random.Generator
) -> Bool[np.ndarray, "n_splits n_problems"]:
    """Random splits of the problems into disjoint halves: True for the first, False for the second.

    Raises:
        ValueError: where there are fewer than two problems.
    """
    if n_problems < 2:
        raise ValueError(f"Expected at least two problems to split, found {n_problems}.")
    ordered = np.tile(np.arange(n_problems) < n_problems // 2, (n_splits, 1))
    return rng.permuted(ordered, axis=1)


def split_half_cosine(halves: Float[np.ndarray, "n_splits 2 d_model"]) -> float | None:
    """Cosine of the two half estimates: the split-half reliability, with averaged products."""
    a, b = halves[:, 0], halves[:, 1]
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return or_none(_ratio(_dot(a, b).mean(keepdims=True), norms.mean(keepdims=True))[0])


def noise_corrected_norm(halves: Float[np.ndarray, "n_splits 2 d_model"]) -> float | None:
    """Norm of the true direction, from products of disjoint halves; None if these do not add up.

    E[a1 . a2] = |a|^2 where the halves' noise is independent; |mean|^2 is too large by the noise.
    Products are averaged over the splits before the root is taken.
    """
    return or_none(noise_corrected_norms(halves[None])[0])


def noise_corrected_norms(
    halves: Float[np.ndarray, "n n_splits 2 d_model"],
) -> Float[np.ndarray, " n"]:
    """`noise_corrected_norm` of n sets of halves, as for bootstrap replicates; NaN undefined."""
    return _root(_dot(halves[:, :, 0], halves[:, :, 1]).mean(axis=1))


def noise_corrected_cosine(
    first: Float[np.ndarray, "n_splits 2 d_model"], second: Float[np.ndarray, "n_splits 2 d_model"]
) -> float | None:
    """Cosine of two true directions; None where the reliability of either is not positive.

    The cosine between disjoint halves over the square root of the two split-half reliabilities,
    (a1 . b2 + a2 . b1) / 2 / sqrt(a1 . a2 * b1 . b2), with each product averaged over the splits.
    Not clipped: an estimate may lie above 1.

    Args:
        first: half estimates of the one direction.
        second: half estimates of the other, from the same splits of the same problems, since noise
            that both share would otherwise count as agreement.
    """
    return or_none(noise_corrected_cosines(first[None], second[None])[0])


def noise_corrected_cosines(
    first: Float[np.ndarray, "n n_splits 2 d_model"],
    second: Float[np.ndarray, "n n_splits 2 d_model"],
) -> Float[np.ndarray, " n"]:
    """`noise_corrected_cosine` of n pairs, as for bootstrap replicates; NaN undefined."""
    across = _dot(first, second[:, :, ::-1]).mean(axis=(1, 2))
    norms = noise_corrected_norms(first) * noise_corrected_norms(second)
    return _ratio(across, norms)


def auroc(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    stratum: Int[np.ndarray, " rows"] | None = None,
) -> float | None:
    """P(a positive row scores above a negative one of its stratum), ties as half; None undefined.

    Args:
        scores: for example projections on a direction.
        is_positive: class of each row.
        stratum: strata whose AUROCs are averaged with the weights that a matched direction gives
            them, the harmonic mean of the class sizes; by default one stratum.
    """
    return or_none(aurocs(scores, is_positive, np.ones((1, len(scores))), stratum)[0])


def aurocs(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    weights: Float[np.ndarray, "n rows"],
    stratum: Int[np.ndarray, " rows"] | None = None,
) -> Float[np.ndarray, " n"]:
    """`auroc` for n sets of row weights, as for bootstrap replicates; NaN undefined."""
    if not np.isfinite(scores).all():
        raise ValueError("Expected finite scores, found NaN or infinity.")
    wins, total = np.zeros((2, len(weights)))
    strata = np.zeros(len(scores), dtype=np.int64) if stratum is None else stratum
    for one in np.unique(strata):
        rows = np.flatnonzero(strata == one)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        first_of_level = np.flatnonzero(np.diff(scores[rows], prepend=np.nan))
        by_class = (weights[:, rows] * chosen[rows] for chosen in (is_positive, ~is_positive))
        positive, negative = (np.add.reduceat(w, first_of_level, axis=1) for w in by_class)
        n_positive, n_negative = positive.sum(axis=1), negative.sum(axis=1)
        # The stratum's weight over its number of pairs is 2 / n, with n rows of either class.
        n = np.maximum(n_positive + n_negative, 1e-300)
        wins += 2 * (positive * (negative.cumsum(axis=1) - negative / 2)).sum(axis=1) / n
        total += 2 * n_positive * n_negative / n
    return _ratio(wins, total)


def _sum_by_problem(
    columns: Float[np.ndarray, "rows columns"], problem_ids: Sequence[str]
) -> tuple[Float[np.ndarray, "problems columns"], Float[np.ndarray, "problems columns"]]:
    if len(columns) != len(problem_ids) or not len(columns):
        found = f"{len(columns)} rows and {len(problem_ids)} problems"
        raise ValueError(f"Expected rows with one problem each, found {found}.")
    _, codes = np.unique(np.asarray(problem_ids), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    first_rows = np.flatnonzero(np.diff(codes[order], prepend=-1))
    missing = np.isnan(columns)
    sums = np.add.reduceat(np.where(missing, 0.0, columns)[order], first_rows)
    return sums, np.add.reduceat((~missing).astype(np.float64)[order], first_rows)


def _as_columns(values: np.ndarray) -> np.ndarray:
    n_columns = int(np.prod(values.shape[1:]))
    return np.asarray(values, dtype=np.float64).reshape(len(values), n_columns)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", a, b)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    undefined = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _root(square: np.ndarray) -> np.ndarray:
    return np.sqrt(square, out=np.full_like(square, np.nan), where=square > 0)


def or_none(value: float | np.floating | np.ndarray) -> float | None:
    """A value as it stands in results: None where it is undefined."""
    return float(value) if np.isfinite(value) else None
