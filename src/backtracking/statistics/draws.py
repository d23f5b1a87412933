"""Rates that are known from a few draws each: what fewer draws had shown, and the rates behind.

A rate of which k of n draws were seen is not k / n. A share of rates below a threshold that is
counted from k / n is therefore biased, by much where n is 10. Two ways out: the same at another
number of draws, exactly (hypergeometric), and the distribution of the rates themselves.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom, hypergeom

GRID = np.concatenate([[0.0], (np.arange(100) + 0.5) / 100, [1.0]])
"""Rates that a distribution may have: hundredths at their middles, so that no threshold is one."""

N_STEPS = 500
"""Steps of EM, after which shares change in the fourth decimal."""

DRAWS, LEAST = 10, 8
"""Continuations of an event, and how many have to repeat it: stable as arXiv 2604.02113 has it."""


@dataclass(frozen=True)
class Cells:
    """Events by their counts: all with the same k of n are one cell, in the order of k / n.

    Attributes:
        k, n: of each cell.
        rate: k / n.
        rows: 1 where an event is in a cell; means over events are the shares below.
    """

    k: Int[np.ndarray, " cells"]
    n: Int[np.ndarray, " cells"]
    rate: Float[np.ndarray, " cells"]
    rows: Float[np.ndarray, "events cells"]

    @classmethod
    def of(cls, k: Int[np.ndarray, " events"], n: Int[np.ndarray, " events"]) -> "Cells":
        """The cells of events with k of n draws each."""
        counts = np.stack([k / n, k, n], axis=1)
        kinds, cell = np.unique(counts, axis=0, return_inverse=True)
        rows = np.eye(len(kinds))[cell.ravel()]
        return cls(kinds[:, 1].astype(int), kinds[:, 2].astype(int), kinds[:, 0], rows)

    def median(self, share: Float[np.ndarray, "samples cells"]) -> Float[np.ndarray, " samples"]:
        """The median of k / n in samples with such shares of events in the cells."""
        below = np.cumsum(share, axis=1)
        ends = [(below < 0.5 + sign * 1e-9).sum(axis=1) for sign in (-1, 1)]
        return np.mean([self.rate[end.clip(max=len(self.rate) - 1)] for end in ends], axis=0)

    def unstable(self, share: Float[np.ndarray, "samples cells"]) -> Float[np.ndarray, " samples"]:
        """The share of events that fewer than `LEAST` of `DRAWS` draws repeat.

        From their own draws where all have as many, else from new draws of the rates behind them.
        """
        if (self.n >= DRAWS).all():
            return share @ fewer_of(self.k, self.n, DRAWS, LEAST)
        return expect_fewer_of(rates_behind(self.k, self.n, share), DRAWS, LEAST)


def fewer_of(
    k: Int[np.ndarray, " rows"], n: Int[np.ndarray, " rows"], draws: int, least: int
) -> Float[np.ndarray, " rows"]:
    """P(fewer than `least` events among `draws` of the n draws), without replacement.

    Its mean over rows is what an experiment with so many draws finds on average. NaN where there
    were fewer draws than that.
    """
    enough = n >= draws
    found = np.full(len(n), np.nan)
    found[enough] = hypergeom.cdf(least - 1, n[enough], k[enough], draws)
    return found


def rates_behind(
    k: Int[np.ndarray, " cells"],
    n: Int[np.ndarray, " cells"],
    share: Float[np.ndarray, "samples cells"],
) -> Float[np.ndarray, "samples grid"]:
    """The most likely distribution of the rates behind counts, on `GRID`, of each sample.

    Nothing is assumed of its form (Kiefer and Wolfowitz 1956; by EM, Laird 1978).

    Args:
        k, n: events and draws of each kind of count.
        share: of the rows of a sample that have such a count; rows sum to 1.
    """
    likelihood = binom.pmf(k[:, None], n[:, None], GRID)
    mass = np.full((len(share), len(GRID)), 1 / len(GRID))
    for _ in range(N_STEPS):
        told = np.maximum(mass @ likelihood.T, np.finfo(float).tiny)
        mass = mass * ((share / told) @ likelihood)
    return mass


def share_below(
    mass: Float[np.ndarray, "samples grid"], threshold: float
) -> Float[np.ndarray, " samples"]:
    """The share of the rates below a threshold."""
    return mass[:, threshold > GRID].sum(axis=1)


def expect_fewer_of(
    mass: Float[np.ndarray, "samples grid"], draws: int, least: int
) -> Float[np.ndarray, " samples"]:
    """The share of rates of which fewer than `least` of `draws` new draws are events."""
    return mass @ binom.cdf(least - 1, draws, GRID)
