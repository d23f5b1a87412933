"""How large an effect a study of a given size can see: before a GPU is rented.

A problem's mean effect is drawn around the true one (`between`), each decision around its
problem's (`within`), and every random direction has a true effect of its own (`random`). The claim
is that of the primary endpoint: the interval by problem is above 0, and the estimate above the
bound that 95 % of the random directions' estimates stay below.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.statistics.nulls import random_bound
from backtracking.statistics.spread import Spread

_Z = 1.959964
_N_TRIALS = 4000


@dataclass(frozen=True)
class Size:
    """The size of a study: problems, traces of each, and random directions."""

    n_problems: int
    n_samples: int
    n_random: int


def power(effect: float, spread: Spread, size: Size, seed: int) -> float:
    """Probability that the claim holds where the true effect is `effect`, by simulation.

    Random directions' effects are drawn around 0.
    """
    return float((effect > _needed(spread, size, seed)).mean())


def minimal_effect(
    spread: Spread, size: Size, seed: int, wanted: float = 0.8, largest: float = 1.0
) -> float | None:
    """The smallest true effect that is found with the wanted power; None above `largest`."""
    found = float(np.quantile(_needed(spread, size, seed), wanted))
    return max(0.0, found) if found < largest else None


def _needed(spread: Spread, size: Size, seed: int) -> Float[np.ndarray, " trials"]:
    """The true effect from which on the claim holds, in each of the simulated studies.

    An effect moves its estimate and nothing else.
    """
    rng = np.random.default_rng(seed)
    per_problem = spread.within**2 / (spread.decisions * size.n_samples)
    error = np.sqrt((spread.between**2 + per_problem) / size.n_problems)
    own = error * rng.standard_normal(_N_TRIALS)
    randoms = np.hypot(spread.random, error) * rng.standard_normal((_N_TRIALS, size.n_random))
    return np.maximum(_Z * error, random_bound(randoms)) - own
