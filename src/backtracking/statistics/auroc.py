"""Areas under the ROC curve within strata."""

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.statistics.corrected import or_none, ratio


def auroc(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    stratum: Int[np.ndarray, " rows"] | None = None,
) -> float | None:
    """P(a positive row scores above a negative one of its stratum), ties as half; None undefined.

    Args:
        scores: for example projections on a direction.
        is_positive: class of each row.
        stratum: strata whose AUROCs are averaged with the weights that a matched direction gives
            them, the harmonic mean of the class sizes; by default one stratum.
    """
    return or_none(aurocs(scores, is_positive, np.ones((1, len(scores))), stratum)[0])


def aurocs(
    scores: Float[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    weights: Float[np.ndarray, "n rows"],
    stratum: Int[np.ndarray, " rows"] | None = None,
) -> Float[np.ndarray, " n"]:
    """`auroc` for n sets of row weights, as for bootstrap replicates; NaN undefined."""
    if not np.isfinite(scores).all():
        raise ValueError("Expected finite scores, found NaN or infinity.")
    wins, total = np.zeros((2, len(weights)))
    strata = np.zeros(len(scores), dtype=np.int64) if stratum is None else stratum
    for one in np.unique(strata):
        rows = np.flatnonzero(strata == one)
        rows = rows[np.argsort(scores[rows], kind="stable")]
        first_of_level = np.flatnonzero(np.diff(scores[rows], prepend=np.nan))
        by_class = (weights[:, rows] * chosen[rows] for chosen in (is_positive, ~is_positive))
        positive, negative = (np.add.reduceat(w, first_of_level, axis=1) for w in by_class)
        n_positive, n_negative = positive.sum(axis=1), negative.sum(axis=1)
        # The stratum's weight over its number of pairs is 2 / n, with n rows of either class.
        n = np.maximum(n_positive + n_negative, 1e-300)
        wins += 2 * (positive * (negative.cumsum(axis=1) - negative / 2)).sum(axis=1) / n
        total += 2 * n_positive * n_negative / n
    return ratio(wins, total)
