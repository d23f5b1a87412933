"""A hidden Markov model of labels and activations, filtered on the past.

Joint emission p(x, s | z) = Normal(x; mean_z, covariance_z) x Categorical(s; z); a state may go to
END. All traces run at once, padded; emissions stay logarithms, and messages are scaled at every
step (Rabiner 1989), so nothing underflows.

Prediction is p(s_{t+1} | s_{1:t}, x_{1:t}) = sum_{z'} p(s_{t+1} | z') sum_z p(z' | z) p(z | past):
x_{t+1} is integrated out. (`hmmlearn`'s `predict_proba` is forward-backward and sees the future.)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.transitions.scoring import LogProbabilities
from backtracking.transitions.sequences import Sequences


@dataclass(frozen=True)
class Hmm:
    """Parameters.

    Attributes:
        initial: p(z_1).
        transition: p(z_{t+1} | z_t), the last column END.
        emission: p(s | z).
        mean, covariance: of x in each state.
    """

    initial: Float[np.ndarray, " states"]
    transition: Float[np.ndarray, "states states_and_end"]
    emission: Float[np.ndarray, "states labels"]
    mean: Float[np.ndarray, "states d"]
    covariance: Float[np.ndarray, "states d d"]

    def filtered(self, sequences: Sequences) -> Float[np.ndarray, "traces steps states"]:
        """p(z_t | s_{1:t}, x_{1:t}); what stands in the padding means nothing."""
        return filter_states(self.initial, self.transition, self.log_emission(sequences))[0]

    def predict(self, sequences: Sequences) -> LogProbabilities:
        """log p of the next symbol after every sentence, from the past alone."""
        return symbol_log_p(self.filtered(sequences), self.transition, self.emission)

    def log_emission(self, sequences: Sequences) -> Float[np.ndarray, "traces steps states"]:
        """log p(x_t, s_t | z_t); 0 in the padding."""
        present = sequences.present
        found = np.zeros((*present.shape, len(self.initial)))
        found[present] = normal_log_density(sequences.x[present], self.mean, self.covariance)
        found[present] += np.log(self.emission.T)[sequences.label[present]]
        return found

    def log_likelihood(self, sequences: Sequences) -> Float[np.ndarray, " traces"]:
        """log p of every trace: its labels, activations and END."""
        log_emission = self.log_emission(sequences)
        found = forward_backward(self.initial, self.transition, log_emission, sequences)
        return found.log_likelihood


@dataclass(frozen=True)
class Posterior:
    """What is known of the states of every trace as a whole.

    Attributes:
        state: p(z_t | trace), 0 in the padding.
        moves: expected number of moves, END in the last column.
        log_likelihood: of each trace.
    """

    state: Float[np.ndarray, "traces steps states"]
    moves: Float[np.ndarray, "states states_and_end"]
    log_likelihood: Float[np.ndarray, " traces"]


def normal_log_density(
    x: Float[np.ndarray, "rows d"],
    mean: Float[np.ndarray, "states d"],
    covariance: Float[np.ndarray, "states d d"],
) -> Float[np.ndarray, "rows states"]:
    """log Normal(x; mean_z, covariance_z)."""
    d = x.shape[1]
    factor = np.linalg.inv(np.linalg.cholesky(covariance))
    white = x @ factor.transpose(2, 0, 1).reshape(d, -1) - (factor @ mean[..., None]).ravel()
    distance = (white**2).reshape(len(x), len(mean), d).sum(axis=2)
    log_det = np.log(np.einsum("kdd->kd", factor)).sum(axis=1)
    return log_det - 0.5 * (distance + d * np.log(2 * np.pi))


def symbol_log_p(
    state: Float[np.ndarray, "traces steps states"],
    transition: Float[np.ndarray, "states states_and_end"],
    emission: Float[np.ndarray, "states labels"],
) -> LogProbabilities:
    """log p of the next symbol, from the filtered state: one move ahead, then its label."""
    ahead = state @ transition
    return np.log(np.concatenate([ahead[..., :-1] @ emission, ahead[..., -1:]], axis=-1))


def filter_states(
    initial: Float[np.ndarray, " states"],
    transition: Float[np.ndarray, "states states_and_end"],
    log_emission: Float[np.ndarray, "traces steps states"],
) -> tuple[Float[np.ndarray, "traces steps states"], Float[np.ndarray, "traces steps"]]:
    """p(z_t | past and present), and log p of each step given the steps before it.

    Moves to END have a probability, so that a step's evidence counts that the trace went on.
    """
    peak = log_emission.max(axis=2)
    likelihood = np.exp(log_emission - peak[..., None])
    moves = transition[:, :-1]
    state, evidence = np.empty_like(log_emission), np.empty_like(peak)
    predicted = np.broadcast_to(initial, (len(log_emission), len(initial)))
    for step in range(log_emission.shape[1]):
        joint = predicted * likelihood[:, step]
        total = joint.sum(axis=1)
        state[:, step] = joint / total[:, None]
        evidence[:, step] = np.log(total) + peak[:, step]
        predicted = state[:, step] @ moves
    return state, evidence


def forward_backward(
    initial: Float[np.ndarray, " states"],
    transition: Float[np.ndarray, "states states_and_end"],
    log_emission: Float[np.ndarray, "traces steps states"],
    sequences: Sequences,
) -> Posterior:
    """Posterior of the states given whole traces, for learning only."""
    moves, end = transition[:, :-1], transition[:, -1]
    state, evidence = filter_states(initial, transition, log_emission)
    present = sequences.present
    last = present.sum(axis=1) - 1
    finish = np.where(sequences.ended[:, None], end, 1.0)
    peak = log_emission.max(axis=2)
    # ahead_t(z) = p(step t | z) p(steps after t | z), scaled by p(step t | steps before it).
    likelihood = np.exp(log_emission - peak[..., None])
    likelihood /= np.exp(evidence - peak)[..., None]
    backward = np.empty_like(state)
    ahead = np.empty_like(state)
    message = finish
    for step in reversed(range(state.shape[1])):
        backward[:, step] = message = np.where((last == step)[:, None], finish, message)
        ahead[:, step] = likelihood[:, step] * message
        message = ahead[:, step] @ moves.T
    smoothed = state * backward
    total = smoothed.sum(axis=2, keepdims=True)
    smoothed = np.where(present[..., None], smoothed / total, 0.0)
    inside = present[:, 1:, None] / total[:, 1:]
    n_states = len(initial)
    before, after = (state[:, :-1] * inside).reshape(-1, n_states), ahead[:, 1:]
    counted = moves * (before.T @ after.reshape(-1, n_states))
    rows = np.arange(len(state))
    ends = (smoothed[rows, last] * sequences.ended[:, None]).sum(axis=0)
    of_end = np.log((state[rows, last] * finish).sum(axis=1))
    log_likelihood = np.where(present, evidence, 0.0).sum(axis=1) + of_end
    return Posterior(smoothed, np.concatenate([counted, ends[:, None]], axis=1), log_likelihood)
