"""How strongly counts are smoothed: a strength in counts, estimated on dev, never at an end.

What is minimised is the loss on dev, in nats, plus that of a log-normal prior around one count. The
prior is weak, but it outgrows any finite gain, so that the minimum lies inside whatever dev holds:
without it, a dev split in which nothing new occurs asks for no smoothing at all, and a test split
in which something does then costs without bound.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

PRIOR_SPREAD = 3.0
"""Standard deviation of the logarithm of a strength: a factor of 20 either way."""

FEW = 0.5
"""Counts that every symbol has beforehand where there is nothing shorter to fall back on.

The estimator of Krichevsky and Trofimov (1981), which gives its mass to a symbol that train never
has: (count + 1/2) / (all + half the number of symbols).
"""

_SCAN = np.arange(-15.0, 16.0)
"""Logarithms of the strengths that are tried before the search: from 3e-7 to 3e6 counts."""


def best_strength(loss: Callable[[float], float]) -> float:
    """The strength with the least loss on dev and prior, to six digits.

    Args:
        loss: in nats, of all dev sentences together, at a strength.
    """

    def penalised(log_strength: float) -> float:
        return loss(float(np.exp(log_strength))) + (log_strength / PRIOR_SPREAD) ** 2 / 2

    values = [penalised(one) for one in _SCAN]
    middle = int(np.argmin(values))
    if middle in (0, len(_SCAN) - 1):
        raise ValueError(f"Expected a strength inside of the scan, found exp({_SCAN[middle]}).")
    found = minimize_scalar(
        penalised,
        bounds=(_SCAN[middle - 1], _SCAN[middle + 1]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def with_few(
    counts: Float[np.ndarray, "*contexts symbols"],
) -> Float[np.ndarray, "*contexts symbols"]:
    """Probabilities from counts, by `FEW`."""
    more = counts + FEW
    return more / more.sum(axis=-1, keepdims=True)
