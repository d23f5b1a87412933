"""AUROC with resamples by problem at the cost of a small matrix, and bands over many cells.

An AUROC is a sum over pairs of a positive and a negative row. Summed by the two rows' problems, it
is a matrix of problems, and every resample of the problems is a quadratic form in it: those of the
bootstrap, of which bands are made, and those without one problem, of which intervals are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.statistics.jackknife import PLAIN, Scale, jackknife_ends, leave_one_out

_TINY = 1e-12


@dataclass(frozen=True)
class Replicates:
    """Quantities with their bootstrap replicates, from the same resamples.

    Attributes:
        value: from all problems; NaN where undefined.
        replicates: from each resample.
        left_out: without each problem; NaN where a cell has no row of it, and infinite where it has
            no value without it.
        n: problems with a row of each quantity.
    """

    value: Float[np.ndarray, " cells"]
    replicates: Float[np.ndarray, "cells n_resamples"]
    left_out: Float[np.ndarray, "cells problems"]
    n: Int[np.ndarray, " cells"]

    def __sub__(self, other: "Replicates") -> "Replicates":
        """The paired difference."""
        undefined = np.isinf(self.left_out) | np.isinf(other.left_out)
        with np.errstate(invalid="ignore"):
            left_out = np.where(undefined, np.inf, self.left_out - other.left_out)
        return Replicates(
            self.value - other.value,
            self.replicates - other.replicates,
            left_out,
            np.minimum(self.n, other.n),
        )

    def __getitem__(self, cells: np.ndarray | slice) -> "Replicates":
        """The chosen cells."""
        its = (self.value, self.replicates, self.left_out, self.n)
        return Replicates(*(one[cells] for one in its))

    def ends(self, level: float, scale: Scale = PLAIN) -> tuple[np.ndarray, np.ndarray]:
        """Both ends of each quantity's own interval, NaN where it has none."""
        return jackknife_ends(self.value, self.left_out, level, scale)


@dataclass(frozen=True)
class Band:
    """Ends that hold for all cells at once; those of one alone are `Replicates.ends`."""

    low: Float[np.ndarray, " cells"]
    high: Float[np.ndarray, " cells"]


def concatenate(parts: Sequence[Replicates]) -> Replicates:
    """Cells of several sets of the same resamples, one after the other."""
    return Replicates(
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.replicates for part in parts]),
        np.concatenate([part.left_out for part in parts]),
        np.concatenate([part.n for part in parts]),
    )


def pair_wins(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    problem: Int[np.ndarray, " rows"],
    n_problems: int,
) -> Float[np.ndarray, "problems problems"]:
    """How often a positive row of one problem scores above a negative one of another, ties half."""
    own = np.eye(n_problems, dtype=np.float32)[problem]  # exact to 2**23 pairs of two problems
    order = np.argsort(scores[~is_positive], kind="stable")
    negative = scores[~is_positive][order]
    below = np.zeros((len(negative) + 1, n_problems), dtype=np.float32)
    np.cumsum(own[~is_positive][order], axis=0, out=below[1:])
    left, right = (
        np.searchsorted(negative, scores[is_positive], side) for side in ("left", "right")
    )
    return (own[is_positive].T @ (below[left] + below[right])).astype(np.float64) / 2


def resample_aurocs(
    scores: Float[np.ndarray, "cells rows"],
    is_positive: Bool[np.ndarray, " rows"],
    problem: Int[np.ndarray, " rows"],
    used: Bool[np.ndarray, "cells rows"],
    weights: Float[np.ndarray, "n_resamples problems"],
) -> Replicates:
    """AUROC of every cell over its own rows, with one replicate per row of problem weights.

    Args:
        scores: of every row; NaN leaves it out.
        is_positive: class of each row.
        problem: number of each row's problem.
        used: rows of each cell.
        weights: how often each problem is drawn (`statistics.resample_problems`).
    """
    n_problems = weights.shape[1]
    everything = np.vstack([np.ones((1, n_problems)), weights, leave_one_out(n_problems)])
    found = np.full((len(scores), len(everything)), np.nan)
    present = np.zeros((len(scores), n_problems), dtype=bool)
    for cell, rows in enumerate(used & ~np.isnan(scores)):
        y, p = is_positive[rows], problem[rows]
        present[cell, p] = True
        wins = pair_wins(scores[cell, rows], y, p, n_problems)
        sides = [np.bincount(p[one], minlength=n_problems) for one in (y, ~y)]
        pairs = (everything @ sides[0]) * (everything @ sides[1])
        won = np.einsum("rp,rp->r", everything @ wins, everything)
        np.divide(won, pairs, out=found[cell], where=pairs > 0)
    value, replicates, left_out = np.split(found, [1, 1 + len(weights)], axis=1)
    left_out = np.where(np.isnan(left_out), np.inf, left_out)
    left_out = np.where(present, left_out, np.nan)
    return Replicates(value[:, 0], replicates, left_out, present.sum(axis=1))


def band(estimate: Replicates, level: float) -> Band:
    """The simultaneous band by the maximum of |t| over the cells.

    It is value +- q * s, with s the standard deviation of a cell's replicates and q the `level`
    quantile, over the resamples, of the largest |replicate - value| / s of any cell. Cells without
    a value have none; a cell without spread has a band of width 0 and no say in q.
    """
    width = np.full(len(estimate.value), np.nan)
    fine = np.isfinite(estimate.value) & (np.isfinite(estimate.replicates).mean(axis=1) >= level)
    fine &= estimate.n > 1
    replicates, value = estimate.replicates[fine], estimate.value[fine]
    if fine.any():
        spread = np.nanstd(replicates, axis=1)
        wide = spread > _TINY
        width[fine] = spread * _critical(replicates[wide], value[wide], spread[wide], level)
    return Band(estimate.value - width, estimate.value + width)


def _critical(replicates: np.ndarray, value: np.ndarray, spread: np.ndarray, level: float) -> float:
    if not len(value):
        return 0.0
    t = np.abs(replicates - value[:, None]) / spread[:, None]
    return float(np.quantile(np.nanmax(t, axis=0), level))
