"""Learning a switching linear dynamical system by structured variational EM.

Approximate: the posterior of regimes and states is taken to factor, q(z) q(y) (Ghahramani and
Hinton 2000). q(y) is Gaussian with a block tridiagonal precision, solved exactly; q(z) is a hidden
Markov chain, solved exactly by forward-backward; each sees the other by its expectations. Weak
priors keep dynamics and covariances regular.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.transitions.em import PRIOR_ROWS, Learning, maximise_chain, start
from backtracking.transitions.hmm import Posterior, forward_backward
from backtracking.transitions.sequences import Sequences
from backtracking.transitions.slds import Slds

FLOOR = 1e-3
"""Smallest variance of x given y, as a share of the variance of x."""


@dataclass(frozen=True)
class Moments:
    """What q(y) says at every sentence, u_t being (y_{t-1}, 1); 0 in the padding.

    Attributes:
        mean: E[y_t].
        yy, yu, uu: E[y_t y_t'], E[y_t u_t'], E[u_t u_t']; the latter two are 0 at the first.
        error: E[(x_t - y_t)^2], by coordinate.
        log_det: log determinant of the covariance of all y of a trace.
    """

    mean: Float[np.ndarray, "traces steps d"]
    yy: Float[np.ndarray, "traces steps d d"]
    yu: Float[np.ndarray, "traces steps d d_and_1"]
    uu: Float[np.ndarray, "traces steps d_and_1 d_and_1"]
    error: Float[np.ndarray, "traces steps d"]
    log_det: Float[np.ndarray, " traces"]


def fit(train: Sequences, n_states: int, learning: Learning) -> Slds:
    """The system to which variational EM converges from one start by k-means.

    Regimes start as clusters of sentences by activation and label, and y as x.

    Raises:
        UserError: where the lower bound of the likelihood has not converged.
    """
    posterior = start(train, n_states, learning.seed, label_weight=2.0)
    variance = train.x[train.present].var(axis=0) + 1e-12
    nothing = np.zeros((*train.x.shape, train.x.shape[2]))
    moments = moments_of(train, train.x, nothing, nothing[:, 1:], np.zeros(len(train)))
    model = maximise(train, posterior, moments, 0.1 * variance)

    def improve() -> float:
        nonlocal model, posterior
        moments = smooth(model, train, posterior.state)
        posterior = forward_backward(
            model.initial, model.transition, expected_log_emission(model, train, moments), train
        )
        reached = bound(model, train, posterior, moments)
        seen = moments.error[train.present].mean(axis=0)
        model = maximise(train, posterior, moments, np.maximum(seen, FLOOR * variance))
        return reached

    learning.until_converged(improve, f"a switching system of {n_states} regimes")
    return model


def bound(model: Slds, train: Sequences, posterior: Posterior, moments: Moments) -> float:
    """The lower bound of the log-likelihood in nats a sentence, up to a constant of the data.

    E[log p(labels, z, y_2.. | y_1)] and the entropy of q(z) are what forward-backward sums up; to
    it come E[log p(x | y)], E[log p(y_1)] and the entropy of q(y).
    """
    noise, first = np.diag(model.observation), moments.mean[:, 0]
    seen = (moments.error[train.present] / noise + np.log(noise)).sum()
    cross = first[:, :, None] * model.start_mean
    apart = moments.yy[:, 0] - cross - cross.transpose(0, 2, 1)
    apart = (apart + np.outer(model.start_mean, model.start_mean)).sum(axis=0)
    started = np.trace(np.linalg.solve(model.start_covariance, apart))
    started += len(first) * np.linalg.slogdet(model.start_covariance)[1]
    total = posterior.log_likelihood.sum() - (seen + started - moments.log_det.sum()) / 2
    return float(total / train.present.sum())


def maximise(
    train: Sequences,
    posterior: Posterior,
    moments: Moments,
    observation: Float[np.ndarray, " d"],
) -> Slds:
    """The parameters that fit expected regimes and states best."""
    weight, d = posterior.state[:, 1:], train.x.shape[2]
    yy, yu, uu = (
        np.einsum("btk,btij->kij", weight, each[:, 1:], optimize=True)
        for each in (moments.yy, moments.yu, moments.uu)
    )
    pooled = np.cov(train.x[train.present].T, bias=True).reshape(d, d) + 1e-9 * np.eye(d)
    ridge = np.diag([*np.full(d, np.trace(pooled) / d), 0.01])
    both = yu @ np.linalg.inv(uu + ridge)
    left = yy - both @ yu.transpose(0, 2, 1) - yu @ both.transpose(0, 2, 1)
    left = left + both @ uu @ both.transpose(0, 2, 1) + PRIOR_ROWS * pooled / 10
    noise = left / (weight.sum(axis=(0, 1)) + PRIOR_ROWS)[:, None, None]
    mean = moments.mean[:, 0].mean(axis=0)
    spread = moments.yy[:, 0].mean(axis=0) - np.outer(mean, mean) + FLOOR * pooled
    initial, transition, emission = maximise_chain(train, posterior)
    return Slds(
        initial=initial,
        transition=transition,
        emission=emission,
        start_mean=mean,
        start_covariance=spread,
        dynamics=both[..., :-1],
        offset=both[..., -1],
        noise=(noise + noise.transpose(0, 2, 1)) / 2,
        observation=np.diag(observation),
    )


def expected_log_emission(
    model: Slds, train: Sequences, moments: Moments
) -> Float[np.ndarray, "traces steps states"]:
    """E[log p(y_t | y_{t-1}, z)] + log p(s_t | z) under q(y)."""
    precision = np.linalg.inv(model.noise)
    both = np.concatenate([model.dynamics, model.offset[..., None]], axis=2)
    flat = (*moments.mean.shape[:2], -1)
    weights = (precision, precision @ both, both.transpose(0, 2, 1) @ precision @ both)
    yy, yu, uu = (
        each.reshape(flat) @ weight.reshape(len(weight), -1).T
        for each, weight in zip((moments.yy, moments.yu, moments.uu), weights, strict=True)
    )
    distance = yy - 2 * yu + uu + np.linalg.slogdet(model.noise)[1]
    distance[:, 0] = 0.0
    joint = np.log(model.emission.T)[train.label] - distance / 2
    return np.where(train.present[..., None], joint, 0.0)


def smooth(
    model: Slds, train: Sequences, state: Float[np.ndarray, "traces steps states"]
) -> Moments:
    """q(y) given the regimes' probabilities: one block tridiagonal system a trace."""
    diagonal, below, h = _information(model, train, state)
    inverse, g = np.empty_like(diagonal), h.copy()
    for t in range(h.shape[1]):
        block = diagonal[:, t]
        if t:
            link = below[:, t] @ inverse[:, t - 1]
            block = block - link @ below[:, t].transpose(0, 2, 1)
            g[:, t] -= _times(link, g[:, t - 1])
        inverse[:, t] = np.linalg.inv(block)
    mean, covariance = np.empty_like(h), np.empty_like(diagonal)
    across = np.empty_like(diagonal[:, 1:])
    mean[:, -1], covariance[:, -1] = _times(inverse[:, -1], g[:, -1]), inverse[:, -1]
    for t in reversed(range(h.shape[1] - 1)):
        back = -inverse[:, t] @ below[:, t + 1].transpose(0, 2, 1)
        mean[:, t] = _times(inverse[:, t], g[:, t]) + _times(back, mean[:, t + 1])
        step = back @ covariance[:, t + 1]
        covariance[:, t] = inverse[:, t] + step @ back.transpose(0, 2, 1)
        across[:, t] = step.transpose(0, 2, 1)
    log_det = np.linalg.slogdet(inverse)[1].sum(axis=1)
    return moments_of(train, mean, covariance, across, log_det)


def moments_of(
    train: Sequences,
    mean: Float[np.ndarray, "traces steps d"],
    covariance: Float[np.ndarray, "traces steps d d"],
    across: Float[np.ndarray, "traces links d d"],
    log_det: Float[np.ndarray, " traces"],
) -> Moments:
    """Second moments from means and covariances; `across` is Cov(y_t, y_{t-1})."""
    present = train.present[..., None]
    mean = np.where(present, mean, 0.0)
    covariance = np.where(present[..., None], covariance, 0.0)
    yy = covariance + mean[..., :, None] * mean[..., None, :]
    one = np.where(present[:, 1:], 1.0, 0.0)
    u_mean = np.concatenate([np.where(present[:, 1:], mean[:, :-1], 0.0), one], axis=2)
    d = mean.shape[2]
    uu = np.zeros((*mean.shape[:2], d + 1, d + 1))
    uu[:, 1:] = u_mean[..., :, None] * u_mean[..., None, :]
    uu[:, 1:, :d, :d] += np.where(present[:, 1:, None], covariance[:, :-1], 0.0)
    yu = np.zeros((*mean.shape, d + 1))
    yu[:, 1:] = mean[:, 1:, :, None] * u_mean[..., None, :]
    yu[:, 1:, :, :d] += np.where(present[:, 1:, None], across, 0.0)
    error = np.where(present, (train.x - mean) ** 2, 0.0)
    error = error + np.einsum("btdd->btd", covariance)
    return Moments(mean, yy, yu, uu, error, log_det)


def _information(
    model: Slds, train: Sequences, state: Float[np.ndarray, "traces steps states"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal and lower blocks of the precision of y, and precision times mean."""
    d, (n, steps, _) = train.x.shape[2], state.shape
    precision, a = np.linalg.inv(model.noise), model.dynamics
    turned = a.transpose(0, 2, 1) @ precision
    pushed = (precision @ model.offset[..., None])[..., 0]
    pulled = (turned @ model.offset[..., None])[..., 0]
    moved = state.copy()
    moved[:, 0] = 0.0

    def spread(each: np.ndarray) -> np.ndarray:
        return (moved @ each.reshape(len(each), -1)).reshape(n, steps, *each.shape[1:])

    start, seen = np.linalg.inv(model.start_covariance), np.linalg.inv(model.observation)
    present = train.present[..., None]
    diagonal, h = spread(precision), spread(pushed)
    diagonal[:, 0], h[:, 0] = start, start @ model.start_mean
    diagonal[:, :-1] += spread(turned @ a)[:, 1:]
    h[:, :-1] -= spread(pulled)[:, 1:]
    diagonal += np.where(present[..., None], seen, np.eye(d))
    h += np.where(present, train.x @ seen, 0.0)
    return diagonal, -spread(precision @ a), h


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]
