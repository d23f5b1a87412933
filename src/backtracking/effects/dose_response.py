"""Dose-response: how much of a direction is needed, with the cases in which that is not defined.

E(c) is the paired effect of dose c minus the mean effect of random directions of the same norm.
The curve up to the peak is made monotone (isotonic regression), and ED50 is the smallest dose that
has half of its value at the peak. Nothing is known below the smallest dose: where the peak or half
of it lies there, ED50 is at most that dose, and has no value.
"""

import numpy as np
from jaxtyping import Float

from backtracking.records.intervals import Interval
from backtracking.records.rows.steering import DoseResponse, Status
from backtracking.statistics.bootstrap import Bootstrap, percentile_interval, resample_problems

NOTHING = Interval(None, None, None, 0)
"""An ED50 that has no value."""


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
        peak: one of the doses, chosen on other problems.
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
    own_half = half_doses(doses, replicates, own_peak)
    left_censored = positive & ((own_peak == 0) | np.isneginf(own_half))
    censored = positive & ~left_censored & (own_peak == len(doses) - 1)
    found = half_doses(doses, point, np.array([at_peak]))[0]
    status = _status(interval, at_peak, len(doses), float(found))
    halves = half_doses(doses, replicates, np.full(len(replicates), at_peak))
    has_value = status in ("defined", "censored")
    ed50 = _censored_interval(float(found), halves, n, level) if has_value else NOTHING
    return DoseResponse(
        status=status,
        peak=peak,
        effect=effect,
        effect_low=interval.low,
        effect_high=interval.high,
        ed50=ed50.value,
        ed50_low=ed50.low,
        ed50_high=ed50.high,
        smallest=float(doses[0]),
        share_defined=float((positive & ~censored & ~left_censored).mean()),
        share_left_censored=float(left_censored.mean()),
        share_censored=float(censored.mean()),
        share_undefined=float((~positive).mean()),
        n=n,
    )


def half_doses(
    doses: Float[np.ndarray, " doses"],
    curves: Float[np.ndarray, "n doses"],
    peak: np.ndarray,
) -> Float[np.ndarray, " n"]:
    """Smallest dose with half of the value at the peak; NaN where that value is not above 0.

    Between doses the isotonic curve is a straight line. Where the smallest dose has half of the
    value already, it is minus infinity: some dose below, and nobody measured which.

    Args:
        doses: above 0, ascending.
        curves: effects at them, one curve a row.
        peak: number of each curve's peak; later doses count nowhere.
    """
    found = np.full(len(curves), np.nan)
    for last in np.unique(peak):
        rows = peak == last
        fitted = isotonic(curves[rows, : last + 1])
        half = fitted[:, -1:] / 2
        above = (fitted >= half).argmax(axis=1)[:, None]
        below = np.maximum(above - 1, 0)
        low, high = (np.take_along_axis(fitted, step, axis=1) for step in (below, above))
        share = (half - low) / np.where(high > low, high - low, 1.0)
        between = doses[below] + share * (doses[above] - doses[below])
        doses_found = np.where(above > 0, between, -np.inf)
        found[rows] = np.where(half > 0, doses_found, np.nan)[:, 0]
    return found


def _status(effect: Interval, at_peak: int, n_doses: int, half: float) -> Status:
    if effect.low is None or effect.low <= 0:
        return "undefined"
    if at_peak == 0 or np.isneginf(half):
        return "left-censored"
    return "censored" if at_peak == n_doses - 1 else "defined"


def _censored_interval(
    value: float, replicates: Float[np.ndarray, " n"], n: int, level: float
) -> Interval:
    """A half dose with its interval, which has no lower end where replicates lie below all doses.

    It has no end at all where more than a share of 1 - `level` of them are undefined.
    """
    known = np.sort(replicates[~np.isnan(replicates)])
    if n < 2 or len(known) < level * len(replicates):
        return Interval(value, None, None, n)
    at = [round(share * (len(known) - 1)) for share in ((1 - level) / 2, (1 + level) / 2)]
    low, high = (float(known[one]) if np.isfinite(known[one]) else None for one in at)
    return Interval(value, low, high, n)


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
