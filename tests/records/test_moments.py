"""Sentences as arrays: rows in their order, one labeller, and windows read where they stand."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.records.moments import is_decision, read_moments, strata
from backtracking.records.traces import Sentence, Trace

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


def make_trace(problem: str, sample: int, split: str) -> Trace:
    return Trace(f"{problem}/{sample}", problem, split, sample, [1], [5, 6], "", "stop", {})


def make_sentence(trace: Trace, index: int, labeller: str = "exact", **truth) -> Sentence:
    start = 2 * index + 1
    return Sentence(trace.trace_id, index, start, start + 2, "", "deduction", labeller, dict(truth))


TRACES = [
    make_trace("b", 0, "train"),
    make_trace("a", 0, "train"),
    make_trace("c", 0, "test"),
    make_trace("b", 1, "train"),
]
SENTENCES = [
    make_sentence(TRACES[3], 0, form="compare", kind="over", action="idles", true_total=30),
    make_sentence(TRACES[0], 0, "rules"),
    make_sentence(TRACES[2], 2, form=None, kind="alive", action=None, true_total=0),
    make_sentence(TRACES[1], 1),
]


def test_rows_are_the_sentences_of_one_labeller_in_their_order() -> None:
    found = read_moments(TRACES, SENTENCES)
    assert len(found) == 3
    assert found.trace.tolist() == [3, 2, 1]
    assert found.problem.tolist() == ["b", "c", "a"]
    assert found.split.tolist() == ["train", "test", "train"]
    assert (found.start.tolist(), found.end.tolist()) == ([1, 5, 3], [3, 7, 5])
    assert len(read_moments(TRACES, SENTENCES, "rules")) == 1


def test_problems_are_numbered_within_their_split_whatever_the_order_of_traces() -> None:
    assert read_moments(TRACES, SENTENCES).problem_number.tolist() == [1, 0, 0]
    turned = read_moments(TRACES[::-1], SENTENCES)
    assert turned.problem_number.tolist() == [1, 0, 0]


def test_what_is_not_known_is_empty_or_0() -> None:
    found = read_moments(TRACES, SENTENCES)
    assert found.form.tolist() == ["compare", "", ""]
    assert found.kind.tolist() == ["over", "alive", ""]
    assert found.action.tolist() == ["idles", "", ""]
    assert found.total.tolist() == [30, 0, 0]


def test_rows_are_chosen_by_mask_and_by_number() -> None:
    found = read_moments(TRACES, SENTENCES)
    assert is_decision(found).tolist() == [True, False, False]
    assert found[is_decision(found)].problem.tolist() == ["b"]
    assert found[np.array([2, 0])].trace.tolist() == [1, 3]


def test_windows_stand_around_the_first_token_and_say_what_is_missing() -> None:
    found = read_moments(TRACES, SENTENCES)
    values, present, offsets = read_windows(PlantedStore(), 2, found, (-2, 1))
    assert offsets.tolist() == [-2, -1, 0, 1]
    assert values.shape == (3, 4, D_MODEL) and values.dtype == torch.float32
    assert present.tolist() == [
        [False, True, False, True],
        [False, True, False, True],
        [False, True, False, True],
    ]
    for row in range(3):
        for column, offset in enumerate(offsets.tolist()):
            place = [2, int(found.trace[row]), int(found.start[row]) + offset]
            expected = place if present[row, column] else [0, 0, 0]
            assert values[row, column].tolist() == expected


def test_strata_count_the_edges_at_or_below_a_total() -> None:
    edges = np.array([10.0, 20.0])
    assert strata(np.array([0, 9, 10, 15, 20, 99]), edges).tolist() == [0, 0, 1, 1, 2, 2]
