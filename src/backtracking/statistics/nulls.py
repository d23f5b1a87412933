"""How a value stands among those of random directions."""

import numpy as np
from jaxtyping import Float, Shaped


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
