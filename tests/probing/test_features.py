"""Features without activations: right values, and nothing learnt from other rows than train."""

import numpy as np
from tiny_study import write_study

from backtracking.probing.features import (
    N_LAST,
    label_history,
    one_hot,
    position_features,
    tokens_at,
)
from backtracking.records.traces import Trace


def test_tokens_stand_where_they_are_and_nowhere_else() -> None:
    traces = [Trace("a/0", "a", "train", 0, [1, 2], [3], "", "stop", {})]
    traces.append(Trace("b/0", "b", "train", 0, [4], [5, 6, 7, 8], "", "stop", {}))
    found = tokens_at(traces, np.array([0, 1]), np.array([[-1, 0, 2, 3], [1, 4, 5, 9]]))
    assert found.tolist() == [[-1, 1, 3, -1], [5, 8, -1, -1]]


def test_one_hot_has_columns_for_train_ids_only() -> None:
    ids = np.array([[3, 7], [5, 7], [9, -1]])
    found = one_hot(ids, np.array([True, True, False]))
    assert found.tolist() == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]


def test_position_is_itself_and_one_bin() -> None:
    position = np.arange(100)
    found = position_features(position, position < 60)
    assert (found[:, 0] == position).all()
    assert (found[:, 1:].sum(axis=1) == 1).all()
    sizes = found[:60, 1:].sum(axis=0)
    assert len(sizes) == 12 and np.ptp(sizes) == 0


def test_history_counts_the_labels_before_within_the_trace_and_names_the_last() -> None:
    sentences = write_study(5).sentences
    chosen = np.arange(len(sentences))
    found = label_history(sentences, chosen)
    labels = sorted(set(sentences.state))
    for row in (0, 1, 17, len(sentences) - 1):
        mine = [k for k in range(row) if sentences.trace[k] == sentences.trace[row]]
        before = [sentences.state[k] for k in mine]
        expected = [before.count(label) for label in labels]
        for back in range(1, N_LAST + 1):
            last = before[-back] if back <= len(before) else None
            expected += [label == last for label in labels]
        assert found[row].tolist() == expected
