"""What activations add to what the text already says, rung by rung.

At the first token of each sentence, multinomial logistic regressions predict the label of the
sentence after it from ever more: the labels of the finished sentences; also the token ids so far;
also the activation. Beyond labels a gain is no finding; beyond *tokens* it is, since the model
computes from tokens alone and the prediction is a sentence ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import optimize, sparse

from backtracking.transitions.smoothing import FEW
from lifeboat.stage.errors import UserError

EXACT, ROUGH = 1e-6, 1e-4
"""Largest entry of the gradient, on scaled weights, at which a regression has converged: one that
is reported, and one that is tried on dev."""

MAX_ROUNDS = 5000
"""Rounds of the search after which a regression counts as one that does not converge."""

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
        return _log_shares(features @ self.weight[:-1] + self.weight[-1])

    def losses(
        self, features: sparse.csr_matrix, target: Int[np.ndarray, " rows"]
    ) -> Float[np.ndarray, " rows"]:
        """-log p of what did follow."""
        return -self.log_p(features)[np.arange(len(target)), target]


@dataclass(frozen=True)
class Regression:
    """What a multinomial logistic regression is fitted to, whatever its ridge.

    The loss is mean -log p + ridge / 2 |weight|^2, the intercept free. Every symbol has `FEW`
    counts more, in rows without features: a symbol that train never has would have no minimum
    otherwise.

    Attributes:
        rows: features with a 1 for the intercept; the last row has no feature.
        counts: share of each outcome in each row.
        basis, squares: the principal directions of the rows, and their squared sizes.
    """

    rows: sparse.csr_matrix
    counts: Float[np.ndarray, "rows symbols"]
    basis: Float[np.ndarray, "features_and_1 directions"]
    squares: Float[np.ndarray, " directions"]

    @classmethod
    def of(
        cls, features: sparse.csr_matrix, target: Int[np.ndarray, " rows"], n_symbols: int
    ) -> "Regression":
        """Of one row per observation, and of what followed there."""
        rows, counts = _with_few(features, target, n_symbols)
        weighted = rows.multiply(counts.sum(axis=1, keepdims=True)).tocsr()
        squares, basis = np.linalg.eigh((rows.T.tocsr() @ weighted).toarray())
        return cls(rows, counts, basis, squares.clip(min=0.0))

    def fit(self, ridge: float, start: Softmax | None = None, tolerance: float = EXACT) -> Softmax:
        """The minimum, by L-BFGS.

        The search runs along the principal directions of the features, each in units of the root of
        its curvature.

        Args:
            ridge: strength of the penalty, against the mean loss.
            start: weights of the first of the features, from which the search begins.
            tolerance: largest entry of the gradient, on scaled weights, at which it ends.

        Raises:
            UserError: where the gradient stays above the tolerance.
        """
        shares, shape = self.counts.sum(axis=0), (len(self.basis), self.counts.shape[1])
        penalty = np.append(np.full(shape[0] - 1, ridge), 0.0)[:, None]
        scale = 1 / np.sqrt(self.squares[:, None] * shares * (1 - shares) + ridge)
        turned, weight_of = self.rows.T.tocsr(), self.counts.sum(axis=1, keepdims=True)

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weight = self.basis @ (flat.reshape(shape) * scale)
            log_p = _log_shares(self.rows @ weight)
            slope = turned @ (np.exp(log_p) * weight_of - self.counts) + penalty * weight
            value = (penalty * weight**2).sum() / 2 - (self.counts * log_p).sum()
            return float(value), ((self.basis.T @ slope) * scale).ravel()

        first = (self.basis.T @ self._start(start)) / scale
        options = {"maxiter": MAX_ROUNDS, "maxfun": 2 * MAX_ROUNDS, "ftol": 0.0, "gtol": tolerance,
                   "maxcor": 30}  # fmt: skip
        found = optimize.minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options)
        largest = float(np.abs(found.jac).max())
        if not largest <= tolerance:
            raise UserError(
                f"Expected a regression with a gradient of at most {tolerance:g}, found "
                f"{largest:.1e} after {found.nit} rounds at ridge {ridge:g}: {found.message}",
                "Leave the least of `transitions.ridges` out.",
            )
        return Softmax(self.basis @ (found.x.reshape(shape) * scale))

    def _start(self, given: Softmax | None) -> Float[np.ndarray, "features_and_1 symbols"]:
        """The intercepts alone, and the weights that are given."""
        first = np.zeros((len(self.basis), self.counts.shape[1]))
        first[-1] = np.log(self.counts.sum(axis=0))
        if given is not None:
            first[: len(given.weight) - 1], first[-1] = given.weight[:-1], given.weight[-1]
        return first


def _with_few(
    features: sparse.csr_matrix, target: Int[np.ndarray, " rows"], n_symbols: int
) -> tuple[sparse.csr_matrix, Float[np.ndarray, "rows_and_few symbols"]]:
    """Rows with a 1 for the intercept, those of `FEW` last, and the share of each outcome there."""
    n = len(target)
    empty = sparse.csr_matrix((1, features.get_shape()[1]))
    rows = joined(
        sparse.csr_matrix(sparse.vstack([features, empty])), sparse.csr_matrix(np.ones((n + 1, 1)))
    )
    counts = np.concatenate([np.eye(n_symbols)[target], np.full((1, n_symbols), FEW)])
    return rows, counts / counts.sum()


def _log_shares(scores: Float[np.ndarray, "rows symbols"]) -> Float[np.ndarray, "rows symbols"]:
    """Scores less the logarithm of the sum of their exponentials."""
    apart = scores - scores.max(axis=1, keepdims=True)
    return apart - np.log(np.exp(apart).sum(axis=1, keepdims=True))


def choose_softmax(
    features: Sequence[sparse.csr_matrix],
    target: Sequence[Int[np.ndarray, " _"]],
    n_symbols: int,
    ridges: Sequence[float],
    start: Softmax | None = None,
) -> tuple[Softmax, float]:
    """The regression whose ridge predicts dev best, and that ridge.

    From the strongest ridge on, as long as each predicts dev better than the one before it. What is
    tried converges to `ROUGH`, which tells dev to about 1e-4 nats, and the one that is chosen, to
    `EXACT`.

    Args:
        features, target: of train, then of dev.
        n_symbols: number of symbols.
        ridges: what is tried, strongest first; each starts where the one before it ended.
        start: as in `Regression.fit`.
    """
    regression = Regression.of(features[0], target[0], n_symbols)
    best: tuple[Softmax, float] | None = None
    least = np.inf
    for ridge in ridges:
        start = regression.fit(ridge, start, ROUGH)
        now = float(start.losses(features[1], target[1]).mean())
        if now >= least:
            break
        best, least = (start, ridge), now
    if best is None:
        raise ValueError("Expected at least one ridge, found none.")
    return regression.fit(best[1], best[0]), best[1]


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
