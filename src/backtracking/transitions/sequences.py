"""Traces as padded arrays: the label of every sentence, what follows it, and its activation.

The symbol to predict after a sentence is the label of the next one, or END where the trace was
ended by its writer. A truncated trace has no END: what would have followed is not known, and its
last sentence, which may be cut, is not predicted from nor scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.records.posteriors import END
from backtracking.records.sentences import State

LABELS: tuple[str, ...] = get_args(State)
"""Labels of a sentence; END has the code that follows them."""


@dataclass(frozen=True)
class Sequences:
    """Traces, padded on the right.

    Attributes:
        label: code of each sentence's label, below `n_labels`; -1 is padding.
        target: code of what follows it, `n_labels` for END; -1 where that is not known.
        x: the sentence's activation, reduced; 0 in the padding.
        problem: the problem of each trace.
        n_labels: number of labels.
    """

    label: Int[np.ndarray, "traces steps"]
    target: Int[np.ndarray, "traces steps"]
    x: Float[np.ndarray, "traces steps d"]
    problem: Shaped[np.ndarray, " traces"]
    n_labels: int

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, traces: np.ndarray | slice) -> "Sequences":
        """The chosen traces, by mask, number or slice."""
        return replace(
            self,
            label=self.label[traces],
            target=self.target[traces],
            x=self.x[traces],
            problem=self.problem[traces],
        )

    @property
    def present(self) -> Bool[np.ndarray, "traces steps"]:
        """Where a sentence is, and no padding."""
        return self.label >= 0

    @property
    def scored(self) -> Bool[np.ndarray, "traces steps"]:
        """After which sentences the next symbol is known."""
        return self.target >= 0

    @property
    def ended(self) -> Bool[np.ndarray, " traces"]:
        """Which traces were ended by their writer."""
        return (self.target == self.n_labels).any(axis=1)

    @property
    def n_symbols(self) -> int:
        """Labels and END."""
        return self.n_labels + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the symbols, by code."""
        return (*LABELS[: self.n_labels], END)

    @property
    def row_problem(self) -> Shaped[np.ndarray, " rows"]:
        """The problem of each scored sentence, in the order of `target[scored]`."""
        return np.broadcast_to(self.problem[:, None], self.label.shape)[self.scored]

    def with_x(self, x: Float[np.ndarray, "traces steps d"]) -> "Sequences":
        """The same traces with other activations."""
        return replace(self, x=x)

    def with_labels(self, label: Int[np.ndarray, "traces steps"]) -> "Sequences":
        """The same traces with other labels; targets follow, END stays where it was."""
        return replace(self, label=label, target=_targets(label, self.ended, self.n_labels))


def make_sequences(
    labels: Sequence[Int[np.ndarray, " _"]],
    activations: Sequence[Float[np.ndarray, "_ d"]],
    problem: Sequence[str],
    ended: Sequence[bool],
    n_labels: int,
) -> Sequences:
    """Traces of different lengths as padded arrays.

    Args:
        labels: codes of each trace's sentences.
        activations: one row per sentence.
        problem: the problem of each trace.
        ended: whether the writer ended the trace.
        n_labels: number of labels.
    """
    n_steps = max((len(one) for one in labels), default=1)
    d = activations[0].shape[1] if activations else 0
    label = np.full((len(labels), n_steps), -1, dtype=np.int64)
    x = np.zeros((len(labels), n_steps, d))
    for row, (one, values) in enumerate(zip(labels, activations, strict=True)):
        label[row, : len(one)], x[row, : len(one)] = one, values
    target = _targets(label, np.array(ended, dtype=bool), n_labels)
    return Sequences(label, target, x, np.array(problem, dtype=object), n_labels)


def _targets(
    label: Int[np.ndarray, "traces steps"], ended: Bool[np.ndarray, " traces"], end: int
) -> Int[np.ndarray, "traces steps"]:
    nothing = np.full((len(label), 1), -1, dtype=np.int64)
    target = np.concatenate([label[:, 1:], nothing], axis=1)
    last = (label >= 0).sum(axis=1) - 1
    where = np.flatnonzero(ended & (last >= 0))
    target[where, last[where]] = end
    return target
