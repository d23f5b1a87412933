"""Learning a switching linear dynamical system by structured variational EM.

Approximate: the posterior of regimes and states is taken to factor, q(z) q(y) (Ghahramani and
Hinton 2000). q(y) is Gaussian with a block tridiagonal precision, solved exactly; q(z) is a hidden
Markov chain, solved exactly by forward-backward; each sees the other by its expectations. Weak
priors keep dynamics and covariances regular; what rises in every round, and by which it is judged,
is the lower bound of the likelihood times the prior.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.transitions.em import (
    PRIOR_ROWS,
    Learning,
    log_prior_of_chain,
    maximise_chain,
    start,
)
from backtracking.transitions.hmm import Posterior, forward_backward
from backtracking.transitions.packing import Packing, pack
from backtracking.transitions.sequences import Sequences
from backtracking.transitions.slds import Slds

FLOOR = 1e-3
"""Smallest variance of x given y, as a share of the variance of x."""


@dataclass(frozen=True)
class Moments:
    """What q(y) says at every sentence, u_t being (y_{t-1}, 1), in the order of `Packing`.

    Attributes:
        mean: E[y_t].
        yy: E[y_t y_t'].
        yu, uu: E[y_t u_t'] and E[u_t u_t'], of the sentences that have one before them.
        error: E[(x_t - y_t)^2], by coordinate.
        log_det: log determinant of the covariance of all y.
    """

    mean: Float[np.ndarray, "rows d"]
    yy: Float[np.ndarray, "rows d d"]
    yu: Float[np.ndarray, "links d d_and_1"]
    uu: Float[np.ndarray, "links d_and_1 d_and_1"]
    error: Float[np.ndarray, "rows d"]
    log_det: float


def fit(train: Sequences, n_states: int, learning: Learning) -> Slds:
    """The system to which variational EM converges from one start by k-means.

    Regimes start as clusters of sentences by activation and label, and y as x.

    Raises:
        UserError: where the lower bound of the likelihood has not converged.
    """
    posterior = start(train, n_states, learning.seed, label_weight=2.0)
    variance = train.x[train.present].var(axis=0) + 1e-12
    packing = pack(train)
    x = packing.rows_of(train.x)
    nothing = np.zeros((*x.shape, x.shape[1]))
    moments = moments_of(train, x, nothing, nothing[packing.n_first :], 0.0)
    model = maximise(train, posterior, moments, 0.1 * variance)

    def improve() -> float:
        nonlocal model, posterior
        moments = smooth(model, train, posterior.state)
        posterior = forward_backward(
            model.initial, model.transition, expected_log_emission(model, train, moments), train
        )
        reached = bound(model, train, posterior, moments) + log_prior(model, train)
        seen = moments.error.mean(axis=0)
        model = maximise(train, posterior, moments, np.maximum(seen, FLOOR * variance))
        return reached

    learning.until_converged(improve, f"a switching system of {n_states} regimes")
    return model


def bound(model: Slds, train: Sequences, posterior: Posterior, moments: Moments) -> float:
    """The lower bound of the log-likelihood in nats a sentence, up to a constant of the data.

    E[log p(labels, z, y_2.. | y_1)] and the entropy of q(z) are what forward-backward sums up; to
    it come E[log p(x | y)], E[log p(y_1)] and the entropy of q(y).
    """
    n_first = pack(train).n_first
    noise, first = np.diag(model.observation), moments.mean[:n_first]
    seen = (moments.error / noise + np.log(noise)).sum()
    cross = first[:, :, None] * model.start_mean
    apart = moments.yy[:n_first] - cross - cross.transpose(0, 2, 1)
    apart = (apart + np.outer(model.start_mean, model.start_mean)).sum(axis=0)
    started = np.trace(np.linalg.solve(model.start_covariance, apart))
    started += len(first) * np.linalg.slogdet(model.start_covariance)[1]
    total = posterior.log_likelihood.sum() - (seen + started - moments.log_det) / 2
    return float(total / train.present.sum())


def log_prior(model: Slds, train: Sequences) -> float:
    """Of the parameters, in nats a sentence, up to a constant: that whose mode `maximise` takes.

    Dirichlet; normal dynamics times inverse Wishart; and of y_1 the share `FLOOR` of all variance.
    That observation has at least as much is no prior but a limit.
    """
    pooled, ridge = _all_rows(train)
    both = np.concatenate([model.dynamics, model.offset[..., None]], axis=2)
    drawn = both @ ridge @ both.transpose(0, 2, 1) + PRIOR_ROWS * pooled / 10
    spread = np.einsum("kde,ked->", np.linalg.inv(model.noise), drawn)
    spread += PRIOR_ROWS * np.linalg.slogdet(model.noise)[1].sum()
    start_share = np.trace(np.linalg.solve(model.start_covariance, FLOOR * pooled))
    spread += pack(train).n_first * start_share
    chain = log_prior_of_chain(model.initial, model.transition, model.emission)
    return float((chain - spread / 2) / train.present.sum())


def maximise(
    train: Sequences,
    posterior: Posterior,
    moments: Moments,
    observation: Float[np.ndarray, " d"],
) -> Slds:
    """The parameters that fit expected regimes and states best."""
    packing, (pooled, ridge) = pack(train), _all_rows(train)
    first = packing.n_first
    weight = packing.rows_of(posterior.state)[first:]
    yy, yu, uu = (
        (weight.T @ each.reshape(len(weight), -1)).reshape(-1, *each.shape[1:])
        for each in (moments.yy[first:], moments.yu, moments.uu)
    )
    both = yu @ np.linalg.inv(uu + ridge)
    left = yy - both @ yu.transpose(0, 2, 1) - yu @ both.transpose(0, 2, 1)
    left = left + both @ (uu + ridge) @ both.transpose(0, 2, 1) + PRIOR_ROWS * pooled / 10
    noise = left / (weight.sum(axis=0) + PRIOR_ROWS)[:, None, None]
    mean = moments.mean[:first].mean(axis=0)
    spread = moments.yy[:first].mean(axis=0) - np.outer(mean, mean) + FLOOR * pooled
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


def _all_rows(
    train: Sequences,
) -> tuple[Float[np.ndarray, "d d"], Float[np.ndarray, "d_and_1 d_and_1"]]:
    """The covariance of x, and the precision of dynamics and offset in units of the noise."""
    d = train.x.shape[2]
    pooled = np.cov(train.x[train.present].T, bias=True).reshape(d, d) + 1e-9 * np.eye(d)
    return pooled, np.diag([*np.full(d, np.trace(pooled) / d), 0.01])


def expected_log_emission(
    model: Slds, train: Sequences, moments: Moments
) -> Float[np.ndarray, "traces steps states"]:
    """E[log p(y_t | y_{t-1}, z)] + log p(s_t | z) under q(y)."""
    precision = np.linalg.inv(model.noise)
    both = np.concatenate([model.dynamics, model.offset[..., None]], axis=2)
    packing = pack(train)
    first = packing.n_first
    weights = (precision, precision @ both, both.transpose(0, 2, 1) @ precision @ both)
    yy, yu, uu = (
        each.reshape(len(each), -1) @ weight.reshape(len(weight), -1).T
        for each, weight in zip((moments.yy[first:], moments.yu, moments.uu), weights, strict=True)
    )
    joint = np.log(model.emission.T)[packing.rows_of(train.label)]
    joint[first:] -= (yy - 2 * yu + uu + np.linalg.slogdet(model.noise)[1]) / 2
    return packing.padded(joint, train)


def smooth(
    model: Slds, train: Sequences, state: Float[np.ndarray, "traces steps states"]
) -> Moments:
    """q(y) given the regimes' probabilities: one block tridiagonal system a trace."""
    packing = pack(train)
    diagonal, below, h = _information(model, train, state, packing)
    upper = below.transpose(0, 2, 1)
    inverse, g = np.empty_like(diagonal), h
    inverse[: packing.n_first] = np.linalg.inv(diagonal[: packing.n_first])
    for before, rows, links in packing.steps:
        link = below[links] @ inverse[before]
        inverse[rows] = np.linalg.inv(diagonal[rows] - link @ upper[links])
        g[rows] -= _times(link, g[before])
    mean, covariance = _times(inverse, g), inverse.copy()
    back, across = -inverse[packing.previous] @ upper, np.empty_like(below)
    for before, rows, links in reversed(packing.steps):
        mean[before] += _times(back[links], mean[rows])
        step = back[links] @ covariance[rows]
        covariance[before] += step @ back[links].transpose(0, 2, 1)
        across[links] = step.transpose(0, 2, 1)
    return moments_of(train, mean, covariance, across, float(np.linalg.slogdet(inverse)[1].sum()))


def moments_of(
    train: Sequences,
    mean: Float[np.ndarray, "rows d"],
    covariance: Float[np.ndarray, "rows d d"],
    across: Float[np.ndarray, "links d d"],
    log_det: float,
) -> Moments:
    """Second moments from means and covariances; `across` is Cov(y_t, y_{t-1})."""
    packing = pack(train)
    d, moved, previous = mean.shape[1], mean[packing.n_first :], packing.previous
    u = np.concatenate([mean[previous], np.ones((len(previous), 1))], axis=1)
    yy = covariance + mean[:, :, None] * mean[:, None]
    uu = u[:, :, None] * u[:, None]
    uu[:, :d, :d] += covariance[previous]
    yu = moved[:, :, None] * u[:, None]
    yu[:, :, :d] += across
    error = (packing.rows_of(train.x) - mean) ** 2 + np.einsum("ndd->nd", covariance)
    return Moments(mean, yy, yu, uu, error, log_det)


def _information(
    model: Slds,
    train: Sequences,
    state: Float[np.ndarray, "traces steps states"],
    packing: Packing,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Diagonal and lower blocks of the precision of y, and precision times mean."""
    first, previous = packing.n_first, packing.previous
    precision, a = np.linalg.inv(model.noise), model.dynamics
    turned = a.transpose(0, 2, 1) @ precision
    pushed, pulled = precision @ model.offset[..., None], turned @ model.offset[..., None]
    moved = packing.rows_of(state)[first:]

    def spread(each: np.ndarray) -> np.ndarray:
        return (moved @ each.reshape(len(each), -1)).reshape(-1, *each.shape[1:])

    start, seen = np.linalg.inv(model.start_covariance), np.linalg.inv(model.observation)
    h = packing.rows_of(train.x) @ seen
    diagonal = np.tile(seen, (len(h), 1, 1))
    diagonal[:first] += start
    diagonal[first:] += spread(precision)
    diagonal[previous] += spread(turned @ a)
    h[:first] += start @ model.start_mean
    h[first:] += spread(pushed)[..., 0]
    h[previous] -= spread(pulled)[..., 0]
    return diagonal, -spread(precision @ a), h


def _times(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return (matrix @ vector[..., None])[..., 0]
