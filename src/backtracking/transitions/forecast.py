"""How well a dynamical model forecasts the activation of the next sentence, before it is read.

On train-whitened coordinates, over the sentences that have one before them.
"""

import numpy as np
from jaxtyping import Bool, Float

from backtracking.transitions.sequences import Sequences
from backtracking.transitions.slds import Slds, filter_past


def forecast_rows(sequences: Sequences) -> Bool[np.ndarray, "traces steps"]:
    """The sentences that have one before them."""
    rows = sequences.present.copy()
    rows[:, 0] = False
    return rows


def var_1(train: Sequences, test: Sequences) -> Float[np.ndarray, "rows d"]:
    """E[x_t | x_{t-1}] by a vector autoregression of order 1, fitted by least squares."""

    def regressors(sequences: Sequences) -> np.ndarray:
        before = np.roll(sequences.x, 1, axis=1)[forecast_rows(sequences)]
        return np.column_stack([before, np.ones(len(before))])

    target = train.x[forecast_rows(train)]
    weights = np.linalg.lstsq(regressors(train), target, rcond=None)[0]
    return regressors(test) @ weights


def slds(model: Slds, test: Sequences) -> Float[np.ndarray, "rows d"]:
    """E[x_t | the sentences before], as the IMM filter predicts it."""
    return filter_past(model, test).forecast[forecast_rows(test)]


def r_squared(
    x: Float[np.ndarray, "n d"], mean: Float[np.ndarray, "n d"]
) -> Float[np.ndarray, "n 2"]:
    """Squared error and squared deviation of each row; 1 - the ratio of their means is R2."""
    error = ((x - mean) ** 2).sum(axis=1)
    return np.stack([error, ((x - x.mean(axis=0)) ** 2).sum(axis=1)], axis=1)


def variance_share(x: Float[np.ndarray, "rows d_model"]) -> Float[np.ndarray, " ranks"]:
    """Share of the variance of x in its first principal components, by rank from 1."""
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1].clip(min=0)
    return values.cumsum() / values.sum()
