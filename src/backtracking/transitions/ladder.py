"""What activations add to what the text already says, rung by rung.

At a position p of the trace, multinomial logistic regressions predict the label of the sentence
after the current one from ever more: the labels of the sentences finished by p; also the token ids
up to p; also the activation at p. Positions: the current sentence's `end`, its `first` token, and
`before_t_star`, the token before the one with which the pending decision's fate was settled (only
sentences at which something is decided). Beyond labels a gain is no finding; beyond *tokens* it is,
and only where p lies a sentence or more ahead, since the model computes from tokens alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, sparse

from backtracking.transitions.scoring import best

N_LABELS_BACK = 3
"""Finished sentences whose labels are read."""


@dataclass(frozen=True)
class Softmax:
    """A multinomial logistic regression.

    Attributes:
        weight: one column a symbol; the last row is the intercept.
    """

    weight: Float[np.ndarray, "features_and_1 symbols"]

    def log_p(self, features: sparse.csr_matrix) -> Float[np.ndarray, "rows symbols"]:
        """log p of every symbol."""
        scores = features @ self.weight[:-1] + self.weight[-1]
        peak = scores.max(axis=1, keepdims=True)
        return scores - peak - np.log(np.exp(scores - peak).sum(axis=1, keepdims=True))

    def losses(
        self, features: sparse.csr_matrix, target: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rows"]:
        """-log p of what did follow."""
        return -self.log_p(features)[np.arange(len(target)), target]


def fit_softmax(
    features: sparse.csr_matrix,
    target: Int[np.ndarray, " rows"],
    n_symbols: int,
    ridge: float,
    start: Softmax | None = None,
    n_iterations: int = 40,
) -> Softmax:
    """Minimises mean -log p + ridge / 2 |weight|^2, the intercept free, by L-BFGS.

    Args:
        features: one row per observation.
        target: what followed.
        n_symbols: number of symbols.
        ridge: strength of the penalty, against the mean loss.
        start: weights of the first of the features, from which the search begins.
        n_iterations: at the most.
    """
    n, d = len(target), features.get_shape()[1]
    first = np.zeros((d + 1, n_symbols))
    shares = (np.bincount(target, minlength=n_symbols) + 0.5) / (n + 0.5 * n_symbols)
    first[-1] = np.log(shares)
    if start is not None:
        first[: len(start.weight) - 1], first[-1] = start.weight[:-1], start.weight[-1]
    turned, rows = features.T.tocsr(), np.arange(n)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = flat.reshape(d + 1, n_symbols)
        log_p = Softmax(weight).log_p(features)
        error = np.exp(log_p)
        error[rows, target] -= 1
        slope = np.concatenate([turned @ error, error.sum(axis=0)[None]]) / n
        slope[:-1] += ridge * weight[:-1]
        value = -log_p[rows, target].mean() + ridge / 2 * (weight[:-1] ** 2).sum()
        return float(value), slope.ravel()

    found = optimize.minimize(
        loss, first.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": n_iterations}
    )
    return Softmax(found.x.reshape(d + 1, n_symbols))


def choose_softmax(
    features: Sequence[sparse.csr_matrix],
    target: Sequence[Int[np.ndarray, " _"]],
    n_symbols: int,
    ridges: Sequence[float],
    start: Softmax | None = None,
) -> tuple[Softmax, float]:
    """The regression whose ridge predicts dev best, and that ridge.

    Args:
        features, target: of train, then of dev.
        n_symbols: number of symbols.
        ridges: what is tried, strongest first; each starts where the one before it ended.
        start: as in `fit_softmax`.
    """
    tried: dict[float, tuple[Softmax, float]] = {}
    for ridge in ridges:
        start = fit_softmax(features[0], target[0], n_symbols, ridge, start)
        tried[ridge] = (start, float(start.losses(features[1], target[1]).mean()))
    ridge = best({one: value for one, (_, value) in tried.items()})
    return tried[ridge][0], ridge


def label_features(labels: Int[np.ndarray, "rows back"], n_labels: int) -> sparse.csr_matrix:
    """One-hot labels of the last finished sentences, newest first; -1 is none."""
    # Pairs of the two newest let the rung hold a chain of order 2.
    both = np.where(labels[:, :2].min(axis=1) < 0, -1, labels[:, 0] * n_labels + labels[:, 1])
    return joined(*(_one_hot(one, n_labels) for one in labels.T), _one_hot(both, n_labels**2))


def token_features(
    recent: Int[np.ndarray, "rows back"],
    prompt: Int[np.ndarray, "rows last"],
    d_vocab: int,
) -> sparse.csr_matrix:
    """One-hot token ids by distance from the position, and of the end of the prompt; -1 is none."""
    return joined(*(_one_hot(column, d_vocab) for column in (*recent.T, *prompt.T)))


def bag_features(
    token_ids: Sequence[Int[np.ndarray, " _"]], rows: Int[np.ndarray, "rows 2"], d_vocab: int
) -> sparse.csr_matrix:
    """log(1 + how often each token stood) in a trace up to a position.

    Args:
        token_ids: of every trace.
        rows: trace and position of every row, the position included.
        d_vocab: size of the vocabulary.
    """
    found = sparse.lil_matrix((len(rows), d_vocab))
    for trace in np.unique(rows[:, 0]):
        counts = np.eye(d_vocab)[token_ids[trace]].cumsum(axis=0)
        chosen = np.flatnonzero(rows[:, 0] == trace)
        found[chosen] = np.log1p(counts[rows[chosen, 1]])
    return sparse.csr_matrix(found)


def joined(*blocks: sparse.csr_matrix) -> sparse.csr_matrix:
    """Features side by side."""
    return sparse.csr_matrix(sparse.hstack(blocks))


def _one_hot(column: Int[np.ndarray, " rows"], n: int) -> sparse.csr_matrix:
    rows = np.flatnonzero(column >= 0)
    ones = np.ones(len(rows))
    return sparse.csr_matrix((ones, (rows, column[rows])), shape=(len(column), n))
