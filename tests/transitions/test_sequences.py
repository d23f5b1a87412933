import numpy as np
from planted import from_labels


def test_a_finished_trace_is_followed_by_end_and_a_truncated_one_by_nothing_known() -> None:
    found = from_labels([[0, 1, 2], [3, 3]], ended=[True, False])
    assert found.label.tolist() == [[0, 1, 2], [3, 3, -1]]
    assert found.target.tolist() == [[1, 2, 4], [3, -1, -1]]
    assert found.ended.tolist() == [True, False]
    assert found.scored.sum() == 4
    assert list(found.row_problem) == ["p000"] * 3 + ["p001"]


def test_other_labels_move_the_targets_and_leave_end_where_it_was() -> None:
    found = from_labels([[0, 1, 2], [3, 3]], ended=[True, False])
    other = found.with_labels(np.where(found.label >= 0, 1, -1))
    assert other.target.tolist() == [[1, 1, 4], [1, -1, -1]]


def test_chosen_traces_keep_their_problems() -> None:
    found = from_labels([[0], [1, 1], [2]])[np.array([2, 0])]
    assert list(found.problem) == ["p002", "p000"]
    assert found.label[:, 0].tolist() == [2, 0]
