"""Traces drawn from a known model: the truth of every recovery, and the null of the order test."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.transitions.hmm import Hmm
from backtracking.transitions.markov import Markov
from backtracking.transitions.semi_markov import SemiMarkov
from backtracking.transitions.sequences import Sequences, make_sequences
from backtracking.transitions.slds import Slds


@dataclass(frozen=True)
class Size:
    """How much is drawn.

    Attributes:
        n_problems: problems.
        n_samples: traces of each.
        max_steps: longest trace; a longer one is truncated, without END.
    """

    n_problems: int
    n_samples: int
    max_steps: int

    @property
    def n_traces(self) -> int:
        """Traces of all problems."""
        return self.n_problems * self.n_samples


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


def draw_hidden(
    model: Hmm | Slds, size: Size, rng: np.random.Generator
) -> tuple[Sequences, Int[np.ndarray, "traces steps"]]:
    """Traces of a model with hidden states, and those states."""
    n = size.n_traces
    shape = (n, size.max_steps)
    state, label = np.zeros(shape, dtype=np.int64), np.full(shape, -1, dtype=np.int64)
    y = np.zeros((*shape, _width(model)))
    ended = np.zeros(n, dtype=bool)
    symbol = draw(np.broadcast_to(model.initial, (n, len(model.initial))), rng)
    for step in range(size.max_steps):
        going = ~ended
        state[:, step] = np.where(going, symbol, 0)
        drawn = draw(model.emission[state[:, step]], rng)
        label[going, step] = drawn[going]
        y[:, step] = _draw_y(model, state[:, step], y[:, step - 1] if step else None, rng)
        symbol = draw(model.transition[state[:, step]], rng)
        ended |= going & (symbol == len(model.initial))
    x = y if isinstance(model, Hmm) else y + _normal(np.zeros_like(y), model.observation, rng)
    return pack(label, x, ended, model.emission.shape[1], size.n_samples), state


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


def _draw_y(
    model: Hmm | Slds, state: np.ndarray, before: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    if isinstance(model, Hmm):
        return _normal(model.mean[state], model.covariance[state], rng)
    if before is None:
        mean = np.broadcast_to(model.start_mean, (len(state), len(model.start_mean)))
        return _normal(mean, model.start_covariance, rng)
    mean = np.einsum("nde,ne->nd", model.dynamics[state], before) + model.offset[state]
    return _normal(mean, model.noise[state], rng)


def _normal(mean: np.ndarray, covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    standard = rng.standard_normal(mean.shape)
    return mean + (np.linalg.cholesky(covariance) @ standard[..., None])[..., 0]


def _width(model: Hmm | Slds) -> int:
    return model.mean.shape[1] if isinstance(model, Hmm) else len(model.start_mean)


def _bare(label: Int[np.ndarray, "traces steps"], n_labels: int) -> Sequences:
    """Labels alone, with nothing to score."""
    nothing = np.full_like(label, -1)
    no_x = np.zeros((*label.shape, 0))
    return Sequences(label, nothing, no_x, np.zeros(len(label), dtype=object), n_labels)
