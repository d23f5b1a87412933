"""Activations in few coordinates: principal components of train sentences, whitened."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Whitening:
    """An affine map to uncorrelated coordinates of variance 1 on the rows that it was fitted on.

    Attributes:
        mean: of the rows.
        components: columns are principal directions over the root of their variance.
    """

    mean: Float[np.ndarray, " d_model"]
    components: Float[np.ndarray, "d_model rank"]

    def __call__(self, rows: Float[np.ndarray, "rows d_model"]) -> Float[np.ndarray, "rows rank"]:
        """Rows in the new coordinates."""
        return (rows - self.mean) @ self.components


def fit_whitening(rows: Float[np.ndarray, "rows d_model"], rank: int) -> Whitening:
    """The first `rank` principal components of the rows, whitened; fewer where variance ends."""
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov((rows - mean).T)))
    order = np.argsort(values)[::-1][:rank]
    order = order[values[order] > 1e-9 * values.max()]
    return Whitening(mean, vectors[:, order] / np.sqrt(values[order]))
