"""Label traces drawn from a chain: the null of the order test."""

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.transitions.markov import Markov
from backtracking.transitions.semi_markov import SemiMarkov
from backtracking.transitions.sequences import Sequences, make_sequences


def draw_labels(
    model: Markov | SemiMarkov,
    first: Int[np.ndarray, " traces"],
    n_labels: int,
    max_steps: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "traces steps"], Bool[np.ndarray, " traces"]]:
    """Labels drawn from a model that reads labels only, -1 after the end; and which traces ended.

    Args:
        model: the law of the next symbol.
        first: label of each trace's first sentence.
        n_labels: number of labels.
        max_steps: longest trace.
        rng: source of chance.
    """
    label = np.full((len(first), max_steps), -1, dtype=np.int64)
    label[:, 0] = first
    ended = np.zeros(len(first), dtype=bool)
    for step in range(max_steps):
        window = label[:, max(0, step + 1 - model.memory) : step + 1]
        symbol = draw(np.exp(model.predict(_bare(window, n_labels))[:, -1]), rng)
        goes_on = ~ended & (symbol != n_labels)
        ended |= symbol == n_labels
        if step + 1 < max_steps:
            label[goes_on, step + 1] = symbol[goes_on]
    return label, ended


def pack(
    label: Int[np.ndarray, "traces steps"],
    x: Float[np.ndarray, "traces steps d"],
    ended: Bool[np.ndarray, " traces"],
    n_labels: int,
    n_samples: int,
) -> Sequences:
    """Drawn arrays as sequences; traces of a problem follow each other."""
    lengths = (label >= 0).sum(axis=1)
    return make_sequences(
        [row[:n] for row, n in zip(label, lengths, strict=True)],
        [row[:n] for row, n in zip(x, lengths, strict=True)],
        [f"p{row // n_samples:04d}" for row in range(len(label))],
        [bool(one) for one in ended],
        n_labels,
    )


def draw(p: Float[np.ndarray, "rows symbols"], rng: np.random.Generator) -> np.ndarray:
    """One symbol a row."""
    below = p.cumsum(axis=1)
    return (rng.random((len(p), 1)) * below[:, -1:] >= below).sum(axis=1)


def _bare(label: Int[np.ndarray, "traces steps"], n_labels: int) -> Sequences:
    """Labels alone, with nothing to score."""
    nothing = np.full_like(label, -1)
    no_x = np.zeros((*label.shape, 0))
    return Sequences(label, nothing, no_x, np.zeros(len(label), dtype=object), n_labels)
