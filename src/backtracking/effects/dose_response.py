"""Dose-response: how much of a direction is needed, with the cases in which that is not defined.

E(c) is the paired effect of dose c minus the mean effect of random directions of the same norm.
The curve from 0 to the peak is made monotone (isotonic regression), and ED50 is the smallest dose
that has half of its value at the peak.
"""

import numpy as np
from jaxtyping import Bool, Float

from backtracking.records.rows.steering import DoseResponse, Status
from backtracking.statistics.bootstrap import Bootstrap, percentile_interval, resample_problems


def respond(
    doses: Float[np.ndarray, " doses"],
    effects: Float[np.ndarray, "problems doses"],
    counts: Float[np.ndarray, " problems"],
    peak: float,
    bootstrap: Bootstrap,
) -> DoseResponse:
    """The curve with its intervals by problem.

    Args:
        doses: sizes of the doses, above 0 and ascending; the sign is the caller's.
        effects: sums over each problem's decisions of the effect beyond random directions, with
            the sign in which it is claimed to be large.
        counts: decisions of each problem.
        peak: one of the doses, chosen on other problems (`peak_dose`).
        bootstrap: resamples and level.

    Raises:
        ValueError: for doses that are not ascending, or a peak that is none of them.
    """
    if (np.diff(doses, prepend=0.0) <= 0).any() or peak not in doses:
        found = f"{doses.tolist()}, peak {peak}"
        raise ValueError(f"Expected ascending doses above 0, the peak among them, found {found}.")
    rng = np.random.default_rng(bootstrap.seed)
    weights = resample_problems(len(counts), bootstrap.n_resamples, rng)
    point = effects.sum(axis=0, keepdims=True) / counts.sum()
    replicates = (weights @ effects) / np.maximum(weights @ counts, 1e-300)[:, None]
    at_peak = int(np.flatnonzero(doses == peak)[0])
    effect, level, n = float(point[0, at_peak]), bootstrap.level, len(counts)
    interval = percentile_interval(effect, replicates[:, at_peak], n, level)
    own_peak = replicates.argmax(axis=1)
    positive = replicates.max(axis=1) > 0
    censored = positive & (own_peak == len(doses) - 1)
    undefined = interval.low is None or interval.low <= 0
    status: Status = "censored" if at_peak == len(doses) - 1 else "defined"
    found = half_doses(doses, point, np.array([at_peak]))[0]
    halves = half_doses(doses, replicates, np.full(len(replicates), at_peak))
    ed50 = percentile_interval(None if undefined else float(found), halves, n, level)
    return DoseResponse(
        status="undefined" if undefined else status,
        peak=peak,
        effect=effect,
        effect_low=interval.low,
        effect_high=interval.high,
        ed50=ed50.value,
        ed50_low=ed50.low,
        ed50_high=ed50.high,
        share_defined=float((positive & ~censored).mean()),
        share_censored=float(censored.mean()),
        share_undefined=float((~positive).mean()),
        n=n,
    )


def peak_dose(
    doses: Float[np.ndarray, " doses"],
    effects: Float[np.ndarray, " doses"],
    usable: Bool[np.ndarray, " doses"],
) -> float:
    """The dose with the largest effect among the usable ones; the smallest where none is."""
    if not usable.any():
        return float(doses[0])
    return float(doses[np.where(usable, effects, -np.inf).argmax()])


def half_doses(
    doses: Float[np.ndarray, " doses"],
    curves: Float[np.ndarray, "n doses"],
    peak: np.ndarray,
) -> Float[np.ndarray, " n"]:
    """Smallest dose with half of the value at the peak; NaN where that value is not above 0.

    Between doses, and between 0 and the first one, the isotonic curve is a straight line.

    Args:
        doses: above 0, ascending.
        curves: effects at them, one curve a row.
        peak: number of each curve's peak; later doses count nowhere.
    """
    found = np.full(len(curves), np.nan)
    for last in np.unique(peak):
        rows = peak == last
        fitted = isotonic(np.pad(curves[rows, : last + 1], ((0, 0), (1, 0))))
        grid = np.concatenate([[0.0], doses[: last + 1]])
        half = fitted[:, -1:] / 2
        above = (fitted >= half).argmax(axis=1)[:, None]
        low, high = (np.take_along_axis(fitted, step, axis=1) for step in (above - 1, above))
        share = (half - low) / np.where(high > low, high - low, 1.0)
        doses_found = grid[above - 1] + share * (grid[above] - grid[above - 1])
        found[rows] = np.where(half > 0, doses_found, np.nan)[:, 0]
    return found


def isotonic(curves: Float[np.ndarray, "n points"]) -> Float[np.ndarray, "n points"]:
    """The nearest non-decreasing curve to each, by least squares (the max-min formula)."""
    n_points = curves.shape[1]
    sums = np.pad(curves.cumsum(axis=1), ((0, 0), (1, 0)))
    first, last = np.meshgrid(np.arange(n_points), np.arange(n_points), indexing="ij")
    lengths = np.maximum(last - first + 1, 1)
    means = (sums[:, 1:][:, last] - sums[:, :-1][:, first]) / lengths
    means = np.where(last >= first, means, np.inf)
    # The least mean of a stretch that starts at `first` and ends at j or later.
    least = np.minimum.accumulate(means[:, :, ::-1], axis=2)[:, :, ::-1]
    least = np.where(first <= last, least, -np.inf)
    return least.max(axis=1)
