"""Densities of x, one sentence ahead: how well each dynamical model forecasts the activations.

In nats a sentence on train-whitened coordinates, so comparable with each other, and with nothing
else: a density of another number of coordinates, or a probability of labels, is another quantity.
Every model is scored on the sentences that have one before them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from backtracking.transitions.hmm import Hmm, normal_log_density
from backtracking.transitions.sequences import Sequences
from backtracking.transitions.slds import Slds, filter_past


@dataclass(frozen=True)
class Forecast:
    """What a model says of each sentence's activation before it is read.

    Attributes:
        log_density: log p(x_t | the sentences before).
        mean: E[x_t | the sentences before].
    """

    log_density: Float[np.ndarray, " rows"]
    mean: Float[np.ndarray, "rows d"]


def forecast_rows(sequences: Sequences) -> Bool[np.ndarray, "traces steps"]:
    """The sentences that have one before them."""
    rows = sequences.present.copy()
    rows[:, 0] = False
    return rows


def gaussian_iid(train: Sequences, test: Sequences) -> Forecast:
    """One Gaussian for every sentence, whatever came before."""
    rows = train.x[forecast_rows(train)]
    mean = np.broadcast_to(rows.mean(axis=0), test.x[forecast_rows(test)].shape)
    return _gaussian(test, mean, rows - rows.mean(axis=0))


def var_1(train: Sequences, test: Sequences) -> Forecast:
    """A vector autoregression of order 1, by least squares."""

    def regressors(sequences: Sequences) -> np.ndarray:
        before = np.roll(sequences.x, 1, axis=1)[forecast_rows(sequences)]
        return np.column_stack([before, np.ones(len(before))])

    target = train.x[forecast_rows(train)]
    weights = np.linalg.lstsq(regressors(train), target, rcond=None)[0]
    return _gaussian(test, regressors(test) @ weights, target - regressors(train) @ weights)


def hmm(model: Hmm, test: Sequences) -> Forecast:
    """The mixture of the states' Gaussians that the past predicts."""
    rows = forecast_rows(test)
    ahead = model.filtered(test)[:, :-1] @ model.transition[:, :-1]
    weight = (ahead / ahead.sum(axis=2, keepdims=True))[rows[:, 1:]]
    log_density = normal_log_density(test.x[rows], model.mean, model.covariance)
    peak = log_density.max(axis=1)
    mixed = (weight * np.exp(log_density - peak[:, None])).sum(axis=1)
    return Forecast(peak + np.log(np.maximum(mixed, 1e-300)), weight @ model.mean)


def slds(model: Slds, test: Sequences) -> Forecast:
    """What the IMM filter predicts: the density is as approximate as the filter."""
    rows, found = forecast_rows(test), filter_past(model, test)
    return Forecast(found.log_density[rows], found.forecast[rows])


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


def _gaussian(
    test: Sequences, mean: Float[np.ndarray, "rows d"], residual: Float[np.ndarray, "train d"]
) -> Forecast:
    d = mean.shape[1]
    covariance = residual.T @ residual / len(residual) + 1e-9 * np.eye(d)
    missed = test.x[forecast_rows(test)] - mean
    log_density = normal_log_density(missed, np.zeros((1, d)), covariance[None])[:, 0]
    return Forecast(log_density, np.array(mean))
