"""A switching linear dynamical system over labels and activations, filtered on the past.

    p(z_{t+1} | z_t) with END,               s_t ~ Categorical(emission_z),
    y_1 ~ N(start_mean, start_covariance),   y_t = A_z y_{t-1} + b_z + N(0, Q_z),
    x_t = y_t + N(0, R)

With A = 0 and R = 0 this is the hidden Markov model of `hmm`, up to the first sentence.

The exact filter has K^t components. It is approximated by the **interacting multiple model** filter
(IMM; Blom and Bar-Shalom 1988): before each step, the K Gaussians are mixed by the probabilities of
having come from each other, and every mixture is replaced by one Gaussian of the same moments. With
one regime it is the Kalman filter, exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.transitions.hmm import symbol_log_p
from backtracking.transitions.scoring import LogProbabilities
from backtracking.transitions.sequences import Sequences


@dataclass(frozen=True)
class Slds:
    """Parameters, as in the equations above.

    Attributes:
        initial: p(z_1).
        transition: p(z_{t+1} | z_t), the last column END.
        emission: p(s | z).
        start_mean, start_covariance: law of y_1.
        dynamics, offset, noise: A_z, b_z and Q_z.
        observation: R.
    """

    initial: Float[np.ndarray, " states"]
    transition: Float[np.ndarray, "states states_and_end"]
    emission: Float[np.ndarray, "states labels"]
    start_mean: Float[np.ndarray, " d"]
    start_covariance: Float[np.ndarray, "d d"]
    dynamics: Float[np.ndarray, "states d d"]
    offset: Float[np.ndarray, "states d"]
    noise: Float[np.ndarray, "states d d"]
    observation: Float[np.ndarray, "d d"]

    def filtered(self, sequences: Sequences) -> Float[np.ndarray, "traces steps states"]:
        """p(z_t | s_{1:t}, x_{1:t}) by IMM; what stands in the padding means nothing."""
        return filter_past(self, sequences).state

    def predict(self, sequences: Sequences) -> LogProbabilities:
        """log p of the next symbol after every sentence, from the past alone."""
        return symbol_log_p(self.filtered(sequences), self.transition, self.emission)


@dataclass(frozen=True)
class Filtered:
    """What the filter knows at every sentence; what stands in the padding means nothing.

    Attributes:
        state: p(z_t | past and present).
        log_density: log p(x_t | the sentences before).
        forecast: E[x_t | the sentences before].
    """

    state: Float[np.ndarray, "traces steps states"]
    log_density: Float[np.ndarray, "traces steps"]
    forecast: Float[np.ndarray, "traces steps d"]


@dataclass(frozen=True)
class _Belief:
    """One Gaussian of y for every regime, and the regimes' probabilities."""

    weight: Float[np.ndarray, "traces states"]
    mean: Float[np.ndarray, "traces states d"]
    covariance: Float[np.ndarray, "traces states d d"]


def filter_past(model: Slds, sequences: Sequences) -> Filtered:
    """Runs the IMM filter over all traces at once."""
    steps = list(_steps(model, sequences))
    return Filtered(*(np.stack(parts, axis=1) for parts in zip(*steps, strict=True)))


def _steps(
    model: Slds, sequences: Sequences
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    belief = _first(model, len(sequences))
    log_label = np.log(model.emission.T)
    for step in range(sequences.label.shape[1]):
        if step:
            belief = _move(model, belief)
        x = sequences.x[:, step]
        log_density, updated = _observe(model, belief, x)
        with np.errstate(divide="ignore"):
            log_prior = np.log(belief.weight)
        joint = log_prior + log_density
        forecast = np.einsum("bk,bkd->bd", belief.weight, belief.mean)
        weight = _normalise(joint + log_label[sequences.label[:, step]])
        belief = _Belief(weight, updated.mean, updated.covariance)
        yield weight, _log_sum(joint), forecast


def _first(model: Slds, n_traces: int) -> _Belief:
    shape, k = model.start_mean.shape, len(model.initial)
    return _Belief(
        np.broadcast_to(model.initial, (n_traces, k)),
        np.broadcast_to(model.start_mean, (n_traces, k, *shape)),
        np.broadcast_to(model.start_covariance, (n_traces, k, *shape, *shape)),
    )


def _move(model: Slds, belief: _Belief) -> _Belief:
    """Mixes the Gaussians by where they came from, then moves each by its regime's dynamics."""
    flow = belief.weight[:, :, None] * model.transition[:, :-1]
    arrived = flow.sum(axis=1)
    share = flow / arrived[:, None]
    mean = np.einsum("bij,bid->bjd", share, belief.mean)
    apart = belief.mean[:, :, None] - mean[:, None]
    k, d = belief.mean.shape[1:]
    within = (share.transpose(0, 2, 1) @ belief.covariance.reshape(-1, k, d * d)).reshape(
        -1, k, d, d
    )
    across = apart.transpose(0, 2, 3, 1) @ (share[..., None] * apart).transpose(0, 2, 1, 3)
    a = model.dynamics
    return _Belief(
        arrived / arrived.sum(axis=1, keepdims=True),
        (a @ mean[..., None])[..., 0] + model.offset,
        a @ (within + across) @ a.transpose(0, 2, 1) + model.noise,
    )


def _observe(
    model: Slds, belief: _Belief, x: Float[np.ndarray, "traces d"]
) -> tuple[Float[np.ndarray, "traces states"], _Belief]:
    """log p(x | regime), and the Gaussians after x is seen."""
    total = belief.covariance + model.observation
    missed = x[:, None] - belief.mean
    precision = np.linalg.inv(total)
    gain = belief.covariance @ precision
    log_det = np.linalg.slogdet(total)[1]
    distance = np.einsum("bkd,bkde,bke->bk", missed, precision, missed, optimize=True)
    log_density = -0.5 * (distance + log_det + x.shape[1] * np.log(2 * np.pi))
    covariance = belief.covariance - gain @ belief.covariance
    covariance = (covariance + covariance.transpose(0, 1, 3, 2)) / 2
    mean = belief.mean + (gain @ missed[..., None])[..., 0]
    return log_density, _Belief(belief.weight, mean, covariance)


def _log_sum(values: Float[np.ndarray, "traces states"]) -> Float[np.ndarray, " traces"]:
    peak = values.max(axis=1)
    return peak + np.log(np.exp(values - peak[:, None]).sum(axis=1))


def _normalise(values: Float[np.ndarray, "traces states"]) -> Float[np.ndarray, "traces states"]:
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
