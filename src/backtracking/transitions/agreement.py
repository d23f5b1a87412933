"""Latent states against true ones: normalised mutual information and adjusted Rand index.

Both are functions of the table of counts, so that bootstrap replicates are tables too. NMI is over
the mean entropy; ARI is 0 in expectation for unrelated states of the same sizes (Hubert and Arabie
1985).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.records.rows.transitions import Agreement
from backtracking.statistics.bootstrap import Bootstrap


def agree(
    latent: Shaped[np.ndarray, " n"],
    truth: Shaped[np.ndarray, " n"],
    problem: Shaped[np.ndarray, " n"],
    bootstrap: Bootstrap,
) -> Agreement:
    """NMI and ARI of two labellings of the same sentences, with intervals by problem."""
    first, a = np.unique(latent, return_inverse=True)
    second, b = np.unique(truth, return_inverse=True)
    cells = np.eye(len(first) * len(second))[a * len(second) + b]
    # ARI depends on the number of sentences, which means over problems do not carry.
    scale = float(len(latent))
    nmi, ari = bootstrap.intervals(cells, list(problem), measures((len(first), len(second)), scale))
    return Agreement(nmi, ari, len(first), len(second))


def measures(
    shape: tuple[int, int], n_rows: float
) -> Callable[[np.ndarray], Float[np.ndarray, "n 2"]]:
    """Statistic that reads NMI and ARI from tables of shares, one a row."""

    def of(shares: np.ndarray) -> np.ndarray:
        tables = shares.reshape(-1, *shape)
        return np.stack([nmi(tables), ari(tables * n_rows)], axis=1)

    return of


def nmi(tables: Float[np.ndarray, "n first second"]) -> Float[np.ndarray, " n"]:
    """Mutual information over the mean of the two entropies; NaN where both are constant."""
    p = tables / tables.sum(axis=(1, 2), keepdims=True)
    first, second = _entropy(p.sum(axis=2)), _entropy(p.sum(axis=1))
    joint = _entropy(p.reshape(len(p), -1))
    room = (first + second) / 2
    shared = first + second - joint
    return np.divide(shared, room, out=np.full_like(room, np.nan), where=room > 1e-12)


def ari(tables: Float[np.ndarray, "n first second"]) -> Float[np.ndarray, " n"]:
    """Pairs that both put together, beyond chance; NaN where chance leaves no room."""
    pairs = _pairs(tables).sum(axis=(1, 2))
    first, second = _pairs(tables.sum(axis=2)).sum(axis=1), _pairs(tables.sum(axis=1)).sum(axis=1)
    expected = first * second / _pairs(tables.sum(axis=(1, 2)))
    room = (first + second) / 2 - expected
    return np.divide(pairs - expected, room, out=np.full_like(room, np.nan), where=room > 1e-12)


def _entropy(p: Float[np.ndarray, "n cells"]) -> Float[np.ndarray, " n"]:
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) / 2
