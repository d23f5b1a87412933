"""Windows are read where rows stand: around a deciding token, or a sentence's first one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.sentences import Decision, Sentence
from backtracking.records.traces import Trace

D_MODEL = 3


class PlantedStore(ActivationStore):
    """Activations that say where they stand: (layer, trace, position), for even positions only."""

    def __init__(self) -> None:
        self.folder = Path("planted")

    @property
    def d_model(self) -> int:
        return D_MODEL

    def has(
        self, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        return (position >= 0) & (position % 2 == 0)

    def gather(
        self, layer: int, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> Float[Tensor, "n d_model"]:
        rows = np.stack([np.full(len(trace), layer), trace, position], axis=1)
        return torch.from_numpy(rows).half()


TRACES = [Trace(f"{p}/0", p, "train", 0, [1], [5] * 20, "", "stop", {}) for p in ("b", "a")]
SENTENCES = [Sentence(t.trace_id, 0, 3, 8, "", True, {"exact": "deduction"}) for t in TRACES]
DECISIONS = [
    Decision(t.trace_id, t.problem_id, "train", 0, 3, 7, "deduction", None, None) for t in TRACES
]


@pytest.mark.parametrize(
    ("rows", "anchor"),
    [
        (Decisions.gather(DECISIONS[::-1], TRACES, ()), 7),
        (Sentences.gather(SENTENCES[::-1], TRACES, (), "exact"), 3),
    ],
)
def test_windows_stand_around_their_anchor_and_say_what_is_missing(
    rows: Decisions | Sentences, anchor: int
) -> None:
    values, present, offsets = read_windows(PlantedStore(), 2, rows, (-5, 1))
    assert offsets.tolist() == list(range(-5, 2))
    assert values.shape == (2, 7, D_MODEL) and values.dtype == torch.float32
    for row, trace in enumerate((1, 0)):
        for column, offset in enumerate(offsets.tolist()):
            position = anchor + offset
            is_there = position >= 0 and position % 2 == 0
            assert bool(present[row, column]) == is_there
            expected = [2, trace, position] if is_there else [0, 0, 0]
            assert values[row, column].tolist() == expected
