"""How large an effect a study of a given size can see: before a GPU is rented.

A problem's mean effect is drawn around the true one (`between`), each decision around its
problem's (`within`), and every random direction has a true effect of its own (`random`). The claim
is that of the primary endpoint: the interval by problem is above 0, and the estimate above the
95th percentile of the random directions' estimates.
"""

from dataclasses import dataclass

import numpy as np

from backtracking.spread import Spread

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
    rng = np.random.default_rng(seed)
    per_problem = spread.within**2 / (spread.decisions * size.n_samples)
    error = np.sqrt((spread.between**2 + per_problem) / size.n_problems)
    estimate = effect + error * rng.standard_normal(_N_TRIALS)
    own = np.hypot(spread.random, error)
    randoms = own * rng.standard_normal((_N_TRIALS, size.n_random))
    bound = np.quantile(randoms, 0.95, axis=1)
    return float(((estimate - _Z * error > 0) & (estimate > bound)).mean())


def minimal_effect(
    spread: Spread, size: Size, seed: int, wanted: float = 0.8, largest: float = 1.0
) -> float | None:
    """The smallest true effect that is found with the wanted power; None above `largest`.

    Trials are the same for every effect, so that power grows with it and bisection finds the place.
    """
    low, high = 0.0, largest
    if power(high, spread, size, seed) < wanted:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, spread, size, seed) >= wanted else (middle, high)
    return high
