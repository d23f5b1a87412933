"""A trace with its sentences in another order: every token is found where it was moved to."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.activations.format import Rows
from backtracking.activations.permuted import PermutedStore, moved
from backtracking.records.traces import TokenSpan

SPANS = {0: TokenSpan(2, 5), 1: TokenSpan(5, 6), 2: TokenSpan(8, 12), 3: TokenSpan(12, 14)}


class Kept(PermutedStore):
    """A store in whose text every token's vector is its place there."""

    def __init__(self, moves: dict[int, np.ndarray]) -> None:
        self.folder, self.moved_by_trace = Path("planted"), moves
        trace = np.repeat(list(moves), [len(one) for one in moves.values()])
        position = np.concatenate([np.arange(len(one)) for one in moves.values()])
        self.rows = Rows(trace, np.full(len(trace), -1), position)
        self.manifest = {"positions": {"window": None}}

    def _take(self, layer: int, numbers: Int[np.ndarray, " n"]) -> Float[Tensor, "n d_model"]:
        return torch.from_numpy(self.rows.position[numbers])[:, None].float()


def test_sentences_change_places_whole_and_what_is_in_none_stays_between_them() -> None:
    there = moved(7, SPANS, 16)
    assert sorted(there.tolist()) == list(range(16))
    for span in SPANS.values():
        assert np.diff(there[span.start : span.end]).tolist() == [1] * (span.end - span.start - 1)
    outside = [0, 1, 6, 7, 14, 15]
    assert there[[0, 1, 14, 15]].tolist() == [0, 1, 14, 15]
    assert (np.diff(there[outside]) > 0).all()
    assert there.tolist() == moved(7, dict(reversed(SPANS.items())), 16).tolist()
    assert len({tuple(moved(trace, SPANS, 16).tolist()) for trace in range(20)}) > 5


def test_a_token_is_asked_for_where_it_stands_in_the_trace_itself() -> None:
    moves = {trace: moved(trace, SPANS, 16) for trace in (0, 3)}
    store = Kept(moves)
    trace, position = np.array([0, 3, 3, 0]), np.array([13, 2, 9, 0])
    wanted = [moves[one][at] for one, at in zip(trace.tolist(), position.tolist(), strict=True)]
    assert store.gather(0, trace, position)[:, 0].tolist() == wanted
    assert store.has(np.array([0, 0, 3]), np.array([-1, 16, 15])).tolist() == [False, False, True]
