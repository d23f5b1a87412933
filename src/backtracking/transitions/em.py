"""Learning a hidden Markov model by EM (Baum et al. 1970), from several starts.

Weak conjugate priors keep every probability off 0 and every covariance regular, so what rises in
every round, and by which it is judged, is likelihood times prior. Our own: hmmlearn has no joint
emission and no END.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.cluster import KMeans

from backtracking.transitions.hmm import Hmm, Posterior, forward_backward
from backtracking.transitions.sequences import Sequences
from lifeboat.stage.errors import UserError

PRIOR_COUNT = 0.1
"""Pseudo-counts of each entry of the initial, transition and emission laws."""

PRIOR_ROWS = 5.0
"""Pseudo-rows with the covariance of all rows, in each state's covariance."""

MEAN_ROWS = 1.0
"""Pseudo-rows at the mean of all rows, in each state's mean."""


@dataclass(frozen=True)
class Learning:
    """How EM runs.

    Attributes:
        n_starts: starts, of which the most likely is kept.
        tolerance: change of the likelihood, or of its lower bound, times the prior between two
            rounds at which a fit has converged, in nats a sentence.
        max_rounds: rounds after which it counts as one that does not converge.
        seed: of the starts.
    """

    n_starts: int = 2
    tolerance: float = 1e-5
    max_rounds: int = 2000
    seed: int = 0

    def until_converged(self, improve: Callable[[], float], what: str) -> None:
        """Improves until the value no longer changes.

        Args:
            improve: does a round, and returns the value before it, in nats a sentence.
            what: is fitted, for the message.

        Raises:
            UserError: where it has not converged.
        """
        before = change = np.inf
        for _ in range(self.max_rounds):
            now = improve()
            change, before = abs(now - before), now
            if change < self.tolerance:
                return
        raise UserError(
            f"Expected {what} to converge to {self.tolerance:g} nats a sentence, found a change of "
            f"{change:.1e} after {self.max_rounds} rounds.",
            "Raise `transitions.max_rounds`, or try fewer hidden states.",
        )


def fit(train: Sequences, n_states: int, learning: Learning) -> Hmm:
    """The most likely of the models that EM finds from the starts.

    Labels weigh heavily in every other one.

    Raises:
        UserError: where EM has not converged.
    """
    starts = [
        start(train, n_states, learning.seed + number, 3.0 if number % 2 == 0 else 0.5)
        for number in range(learning.n_starts)
    ]
    return max((climb(train, one, learning) for one in starts), key=lambda one: one[1])[0]


def climb(train: Sequences, posterior: Posterior, learning: Learning) -> tuple[Hmm, float]:
    """EM from a first posterior: the model, and log (likelihood x prior) in nats a sentence.

    Raises:
        UserError: where EM has not converged.
    """
    model, reached, n_rows = maximise(train, posterior), -np.inf, train.present.sum()

    def improve() -> float:
        nonlocal model, reached
        found = forward_backward(model.initial, model.transition, model.log_emission(train), train)
        reached = float((found.log_likelihood.sum() + log_prior(model, train)) / n_rows)
        model = maximise(train, found)
        return reached

    learning.until_converged(improve, f"a hidden Markov model of {len(model.initial)} states")
    return model, reached


def maximise(train: Sequences, posterior: Posterior) -> Hmm:
    """The parameters that fit expected states best."""
    present = train.present
    weight, x = posterior.state[present], train.x[present]
    initial, transition, emission = maximise_chain(train, posterior)
    mass = weight.sum(axis=0)
    centre, overall = _all_rows(train)
    mean = (weight.T @ x + MEAN_ROWS * centre) / (mass + MEAN_ROWS)[:, None]
    d = x.shape[1]
    apart, moved = x - centre, mean - centre
    squares = (apart[:, :, None] * apart[:, None]).reshape(-1, d * d)
    cross = (weight.T @ apart)[:, :, None] * moved[:, None]
    scatter = (weight.T @ squares).reshape(-1, d, d) - cross - cross.transpose(0, 2, 1)
    scatter += (mass + MEAN_ROWS)[:, None, None] * moved[:, :, None] * moved[:, None]
    n_rows = (mass + MEAN_ROWS + PRIOR_ROWS)[:, None, None]
    return Hmm(initial, transition, emission, mean, (scatter + PRIOR_ROWS * overall) / n_rows)


def log_prior(model: Hmm, train: Sequences) -> float:
    """Of the parameters, up to a constant: Dirichlet, and normal times inverse Wishart."""
    centre, overall = _all_rows(train)
    moved, precision = model.mean - centre, np.linalg.inv(model.covariance)
    spread = MEAN_ROWS * np.einsum("kd,kde,ke->", moved, precision, moved)
    spread += PRIOR_ROWS * np.einsum("kde,ed->", precision, overall)
    spread += (MEAN_ROWS + PRIOR_ROWS) * np.linalg.slogdet(model.covariance)[1].sum()
    return log_prior_of_chain(model.initial, model.transition, model.emission) - float(spread) / 2


def log_prior_of_chain(*laws: Float[np.ndarray, "..."]) -> float:
    """Of initial, transition and label laws, up to a constant."""
    return float(sum(PRIOR_COUNT * np.log(law).sum() for law in laws))


def _all_rows(
    train: Sequences,
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Mean and covariance of x, whatever the state; the latter is regular."""
    x = train.x[train.present]
    d = x.shape[1]
    return x.mean(axis=0), np.cov(x.T, bias=True).reshape(d, d) + 1e-6 / PRIOR_ROWS * np.eye(d)


def maximise_chain(
    train: Sequences, posterior: Posterior
) -> tuple[
    Float[np.ndarray, " states"],
    Float[np.ndarray, "states states_and_end"],
    Float[np.ndarray, "states labels"],
]:
    """Initial, transition and label laws that fit expected states best."""
    weight = posterior.state[train.present]
    labels = np.zeros((train.n_labels, weight.shape[1]))
    np.add.at(labels, train.label[train.present], weight)
    counts = (posterior.state[:, 0].sum(axis=0), posterior.moves, labels.T)
    initial, transition, emission = ((c + PRIOR_COUNT) for c in counts)
    return (
        initial / initial.sum(),
        transition / transition.sum(axis=1, keepdims=True),
        emission / emission.sum(axis=1, keepdims=True),
    )


def start(train: Sequences, n_states: int, seed: int, label_weight: float) -> Posterior:
    """Where learning begins: every sentence's cluster, by k-means over activation and label.

    The states of neighbouring sentences are taken as independent.
    """
    present = train.present
    x = train.x[present]
    spread = np.sqrt(x.var(axis=0).mean()) if x.shape[1] else 1.0
    one_hot = np.eye(train.n_labels)[train.label[present]]
    rows = np.concatenate([x, label_weight * spread * one_hot], axis=1)
    clusters: Any = KMeans(n_states, n_init="auto", max_iter=30, random_state=seed)
    state = np.zeros((*present.shape, n_states))
    state[present] = np.eye(n_states)[clusters.fit_predict(rows)] * 0.9 + 0.1 / n_states
    last = present.sum(axis=1) - 1
    ends = (state[np.arange(len(state)), last] * train.ended[:, None]).sum(axis=0)
    moves = np.einsum("bti,btj->ij", state[:, :-1], state[:, 1:])
    return Posterior(state, np.column_stack([moves, ends]), np.zeros(len(train)))
