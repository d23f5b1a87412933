"""Rates that are known from a few draws each: what fewer draws had shown, and the rates behind.

A rate of which k of n draws were seen is not k / n. A share of rates below a threshold that is
counted from k / n is therefore biased, by much where n is 10. Two ways out: the same at another
number of draws, exactly (hypergeometric), and the distribution of the rates themselves.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom, hypergeom

GRID = np.concatenate([[0.0], (np.arange(100) + 0.5) / 100, [1.0]])
"""Rates that a distribution may have: hundredths at their middles, so that no threshold is one."""

N_STEPS = 500
"""Steps of EM, after which shares change in the fourth decimal."""


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
