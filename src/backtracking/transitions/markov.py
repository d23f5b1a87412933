"""Markov chains of order 0 (iid) to 3 over labels, with smoothed counts.

Each order falls back on the one below: p_k(s | h) = (c(h, s) + a_k p_{k-1}(s | h')) / (c(h) + a_k),
where h' is h without its oldest label (MacKay and Peto 1995, a Dirichlet prior centred on the
shorter context). Order 0 has half a count more of each symbol, which is what a label that train
never has gets. The strengths a_k are estimated on dev (`smoothing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.transitions.scoring import LogProbabilities, cost
from backtracking.transitions.sequences import Sequences
from backtracking.transitions.smoothing import best_strength, with_few


@dataclass(frozen=True)
class Markov:
    """A chain of some order.

    Attributes:
        log_p: log p(symbol | context), contexts coded as by `contexts`.
        order: number of labels in a context.
        strengths: smoothing of orders 1 to `order`, in counts.
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
    """The chain with as many strengths as its order."""
    base, p = train.n_labels + 1, with_few(count(train, 0))
    for order, strength in enumerate(strengths, start=1):
        counts = count(train, order)
        shorter = p[np.arange(base**order) % base ** (order - 1)]
        p = (counts + strength * shorter) / (counts.sum(axis=1, keepdims=True) + strength)
    return Markov(np.log(p), len(strengths), tuple(strengths))


def count(sequences: Sequences, order: int) -> Float[np.ndarray, "contexts symbols"]:
    """How often each symbol follows each context."""
    scored, n = sequences.scored, sequences.n_symbols
    code = contexts(sequences.label, order, sequences.n_labels)[scored]
    cells = code * n + sequences.target[scored]
    size = (sequences.n_labels + 1) ** order * n
    return np.bincount(cells, minlength=size).reshape(-1, n).astype(np.float64)


def select(train: Sequences, dev: Sequences, order: int) -> Markov:
    """The chain whose strengths predict dev best, estimated order by order from 1."""
    strengths: tuple[float, ...] = ()
    for _ in range(order):
        strengths = _longer(train, dev, strengths)
    return fit(train, strengths)


def _longer(train: Sequences, dev: Sequences, shorter: tuple[float, ...]) -> tuple[float, ...]:
    """The strengths of the next order."""
    own = best_strength(lambda one: cost(fit(train, (*shorter, one)).predict(dev), dev))
    return (*shorter, own)
