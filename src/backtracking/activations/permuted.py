"""Traces with their sentences in another order, and where each of their tokens then stands.

A control: the words are those of the trace, and what one sentence says of the next is gone. What a
single sentence says by itself, and the prompt, stay.
"""

from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np
from jaxtyping import Bool, Int

from backtracking.activations.reader import ActivationStore
from backtracking.records.traces import TokenSpan

FOLDER = "permuted"
"""Of such a store, in the folder of the model's activations."""


def moved(trace: int, spans: Mapping[int, TokenSpan], n_tokens: int) -> Int[np.ndarray, " tokens"]:
    """The new position of every token; what stands between sentences stays between them.

    Args:
        trace: row of the trace, by which the order is drawn.
        spans: its sentences, none of which overlaps another.
        n_tokens: tokens of the trace, prompt included.
    """
    places = sorted(spans.values(), key=lambda span: span.start)
    drawn = Random(f"permuted/{trace}").sample(places, len(places))
    parts, after = [], 0
    for place, span in zip(places, drawn, strict=True):
        parts += [np.arange(after, place.start), np.arange(span.start, span.end)]
        after = place.end
    return np.argsort(np.concatenate([*parts, np.arange(after, n_tokens)]))


class PermutedStore(ActivationStore):
    """Activations over permuted traces, asked for by where a token stands in the trace itself.

    Args:
        folder: the store.
        moved_by_trace: new position of every token, by row of the trace.
    """

    def __init__(self, folder: Path, moved_by_trace: Mapping[int, Int[np.ndarray, " n"]]) -> None:
        super().__init__(folder)
        self.moved_by_trace = moved_by_trace

    def _find(
        self, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        there = np.full(len(position), -1, dtype=np.int64)
        for one in np.unique(trace).tolist():
            moves = self.moved_by_trace[one]
            rows = (trace == one) & (position >= 0) & (position < len(moves))
            there[rows] = moves[position[rows]]
        return super()._find(trace, there)
