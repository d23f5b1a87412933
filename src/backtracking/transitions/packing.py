"""Sentences of all traces without padding: all first ones, then all second ones, and so on.

Traces stand by their length, longest first, so that the sentences of a step are neighbours, and the
traces that go on from a step are the first of them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from backtracking.transitions.sequences import Sequences


@dataclass(frozen=True)
class Packing:
    """Where each sentence stands. A link is a sentence that has one before it.

    Attributes:
        trace, step: of every row.
        previous: row of the sentence before each link; links are the rows after the first ones.
        n_first: traces, whose first sentences are the first rows.
        steps: of each step but the first, the rows before its own, its rows, and its links.
    """

    trace: Int[np.ndarray, " rows"]
    step: Int[np.ndarray, " rows"]
    previous: Int[np.ndarray, " links"]
    n_first: int
    steps: tuple[tuple[slice, slice, slice], ...]

    def rows_of(
        self, values: Shaped[np.ndarray, "traces steps ..."]
    ) -> Shaped[np.ndarray, "rows ..."]:
        """Values without padding."""
        return values[self.trace, self.step]

    def padded(
        self, values: Shaped[np.ndarray, "rows ..."], sequences: Sequences
    ) -> Shaped[np.ndarray, "traces steps ..."]:
        """Values in the traces' own order, 0 in the padding."""
        found = np.zeros((*sequences.label.shape, *values.shape[1:]), dtype=values.dtype)
        found[self.trace, self.step] = values
        return found


def pack(sequences: Sequences) -> Packing:
    """The packing of traces, each of which has a sentence."""
    length = sequences.present.sum(axis=1)
    order = np.argsort(-length, kind="stable")
    n = (length[:, None] > np.arange(length.max())).sum(axis=0)
    begin, step = np.cumsum(n) - n, np.repeat(np.arange(len(n)), n)
    rows = np.arange(n[0], len(step))
    steps = []
    for before, first, count in zip(begin, begin[1:], n[1:], strict=False):
        links = slice(first - n[0], first - n[0] + count)
        steps.append((slice(before, before + count), slice(first, first + count), links))
    return Packing(order[np.arange(len(step)) - begin[step]], step, rows - n[step[rows] - 1],
                   int(n[0]), tuple(steps))  # fmt: skip
