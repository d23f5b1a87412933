"""Markov chains of order 0 (iid) to 3 over labels, with smoothed counts.

Each order falls back on the one below: p_k(s | h) = (c(h, s) + a_k p_{k-1}(s | h')) / (c(h) + a_k),
where h' is h without its oldest label and order 0 falls back on the uniform law (MacKay and Peto
1995, a Dirichlet prior centred on the shorter context). The strengths a_k are chosen on dev.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.transitions.scoring import LogProbabilities, best, nll
from backtracking.transitions.sequences import Sequences

STRENGTHS = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Grid of smoothing strengths, in counts."""


@dataclass(frozen=True)
class Markov:
    """A chain of some order.

    Attributes:
        log_p: log p(symbol | context), contexts coded as by `contexts`.
        order: number of labels in a context.
        strengths: smoothing of orders 0 to `order`.
    """

    log_p: Float[np.ndarray, "contexts symbols"]
    order: int
    strengths: tuple[float, ...]

    @property
    def memory(self) -> int:
        """How many sentences back it looks, the current one included."""
        return max(1, self.order)

    def predict(self, sequences: Sequences) -> LogProbabilities:
        """log p of the next symbol after every sentence, from the labels up to it."""
        return self.log_p[contexts(sequences.label, self.order, sequences.n_labels)]


def contexts(
    label: Int[np.ndarray, "traces steps"], order: int, n_labels: int
) -> Int[np.ndarray, "traces steps"]:
    """Code of the last `order` labels at every sentence, its own included.

    Digits in base n_labels + 1, the oldest label first; n_labels stands for "before the start".
    What stands in the padding means nothing.
    """
    code = np.zeros_like(label)
    for age in reversed(range(order)):
        past = np.full_like(label, n_labels)
        past[:, age:] = label[:, : label.shape[1] - age]
        code = code * (n_labels + 1) + np.where(past < 0, n_labels, past)
    return code


def fit(train: Sequences, strengths: Sequence[float]) -> Markov:
    """The chain of order len(strengths) - 1."""
    base, p = train.n_labels + 1, np.full((1, train.n_symbols), 1 / train.n_symbols)
    for order, strength in enumerate(strengths):
        counts = count(train, order)
        shorter = p[np.arange(base**order) % max(1, base ** (order - 1))]
        p = (counts + strength * shorter) / (counts.sum(axis=1, keepdims=True) + strength)
    return Markov(np.log(p), len(strengths) - 1, tuple(strengths))


def count(sequences: Sequences, order: int) -> Float[np.ndarray, "contexts symbols"]:
    """How often each symbol follows each context."""
    scored, n = sequences.scored, sequences.n_symbols
    code = contexts(sequences.label, order, sequences.n_labels)[scored]
    cells = code * n + sequences.target[scored]
    size = (sequences.n_labels + 1) ** order * n
    return np.bincount(cells, minlength=size).reshape(-1, n).astype(np.float64)


def select(
    train: Sequences, dev: Sequences, order: int, grid: Sequence[float] = STRENGTHS
) -> Markov:
    """The chain whose strengths predict dev best, chosen order by order from 0."""
    strengths: tuple[float, ...] = ()
    for _ in range(order + 1):
        tried = {one: nll(fit(train, (*strengths, one)).predict(dev), dev) for one in grid}
        strengths = (*strengths, best(tried))
    return fit(train, strengths)
