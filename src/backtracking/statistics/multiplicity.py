"""P values of families of tests."""

import numpy as np
from jaxtyping import Float


def familywise_p(
    sums: Float[np.ndarray, "problems columns"], n_flips: int, seed: int
) -> Float[np.ndarray, " columns"]:
    """Two-sided p of each column's mean being off 0, corrected for all columns together.

    Signs of whole problems are flipped at random, in all columns at once, and a column's
    studentised sum is compared with the largest of any column (single-step max-T: Westfall and
    Young, Resampling-Based Multiple Testing, 1993). Exact where effects are symmetric about 0
    under the null.

    Args:
        sums: effects summed by problem.
        n_flips: random sign patterns, so that p is at least 1 / (1 + n_flips).
        seed: of the patterns.
    """
    size = np.sqrt((sums**2).sum(axis=0))
    scaled = sums / np.where(size > 0, size, 1.0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n_flips, len(sums)))
    largest = np.abs(signs @ scaled).max(axis=1)
    # A tolerance, so that the same pattern in another order of addition counts as a tie.
    reached = largest[:, None] >= np.abs(scaled.sum(axis=0)) * (1 - 1e-12)
    return (1 + reached.sum(axis=0)) / (1 + n_flips)


def holm(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Holm's step-down adjusted p values (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    scaled = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = scaled.clip(max=1.0)
    return adjusted
