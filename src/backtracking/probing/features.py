"""What can be told without activations: features of position, tokens and label history.

All are functions of token ids and sentence spans, with categories and cuts from train rows only.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.records.columns import Sentences
from backtracking.records.traces import Trace

N_LAST = 3
"""Labels of preceding sentences that stand in the history one by one."""

_N_BINS = 12


def tokens_at(
    traces: Sequence[Trace], trace: Int[np.ndarray, " n"], position: Int[np.ndarray, "n offsets"]
) -> Int[np.ndarray, "n offsets"]:
    """Token id at each position of each row's trace; -1 where the trace has none."""
    lengths = np.array([len(one.ids) for one in traces])
    table = np.full((len(traces), lengths.max()), -1, dtype=np.int64)
    for row, one in enumerate(traces):
        table[row, : lengths[row]] = one.ids
    inside = (position >= 0) & (position < lengths[trace][:, None])
    return np.where(inside, table[trace[:, None], position.clip(0, table.shape[1] - 1)], -1)


def one_hot(
    ids: Int[np.ndarray, "n slots"], is_train: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "n columns"]:
    """One column for each id that train rows have in a slot; others are zero in all of them."""
    columns = []
    for slot in ids.T:
        known = np.unique(slot[is_train & (slot >= 0)])
        columns.append((slot[:, None] == known).astype(np.float64))
    return np.concatenate(columns, axis=1)


def position_features(
    position: Int[np.ndarray, " n"], is_train: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, "n columns"]:
    """The position itself, and in which quantile of the train rows' positions it lies."""
    known = position[is_train] if is_train.any() else np.zeros(1)
    cuts = np.quantile(known, np.linspace(0, 1, _N_BINS + 1)[1:-1])
    bins = np.searchsorted(cuts, position, side="right")
    return np.column_stack([position, one_hot(bins[:, None], is_train)]).astype(np.float64)


def label_history(
    sentences: Sentences, chosen: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n columns"]:
    """Labels of the sentences before each chosen one: how many of each, and the last ones.

    Args:
        sentences: all sentences, those of a trace in their order and one after the other.
        chosen: numbers of the sentences whose history is wanted.
    """
    code, labels = sentences.codes("state")
    each = np.eye(len(labels))[code]
    first = np.r_[True, sentences.trace[1:] != sentences.trace[:-1]]
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    before = np.vstack([np.zeros(len(labels)), each.cumsum(axis=0)])
    columns = [before[chosen] - before[start[chosen]]]
    for back in range(1, N_LAST + 1):
        inside = chosen - back >= start[chosen]
        columns.append(each[(chosen - back).clip(0)] * inside[:, None])
    return np.concatenate(columns, axis=1)
