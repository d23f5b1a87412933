import numpy as np
import pytest
from intervals import known
from planted import drawn, from_labels

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.multiplicity import holm
from backtracking.transitions.matrix import shuffled_counts, steps_to, transition_rows

BOOTSTRAP = Bootstrap(200, 0.95, 0)


def test_entries_are_shares_of_rows_and_sum_to_one_with_end() -> None:
    traces = drawn("markov_2", 40)[1]
    rows = transition_rows(traces, 49, BOOTSTRAP, 0)
    for start in {row.from_ for row in rows}:
        assert sum(known(row.share).value for row in rows if row.from_ == start) == pytest.approx(
            1.0
        )
    assert sum(row.count for row in rows) == traces.scored.sum()
    for one in (known(row.share) for row in rows):
        assert one.low <= one.value <= one.high
    assert "END" in {row.to for row in rows}


def test_a_planted_move_is_found_and_labels_without_order_are_null() -> None:
    rng = np.random.default_rng(0)
    random = [list(rng.integers(0, 3, 30)) for _ in range(60)]
    planted = [[3 if step and one[step - 1] == 0 else label for step, label in enumerate(one)]
               for one in random]  # fmt: skip
    null, found = (
        {(row.from_, row.to): row for row in
         transition_rows(from_labels(one), 499, BOOTSTRAP, 0)}
        for one in (random, planted)
    )  # fmt: skip
    inner = {key: row for key, row in null.items() if key[1] != "END"}
    assert min(row.p_holm for row in inner.values()) > 0.05
    names = from_labels(random).names
    # A shuffle puts each label after each; only a draw's luck keeps p above its least value.
    assert found[names[0], names[3]].p_holm < 0.05
    assert known(found[names[0], names[3]].share).value > 0.5 > found[names[0], names[3]].null


def test_p_values_of_the_shuffle_are_uniform_where_labels_have_no_order() -> None:
    rng = np.random.default_rng(1)
    below = [
        row.p < 0.1
        for draw in range(30)
        for row in transition_rows(
            from_labels([list(rng.integers(0, 3, 20)) for _ in range(20)]), 99, BOOTSTRAP, draw
        )
        if row.to != "END"
    ]
    assert len(below) == 270
    assert 0.04 < np.mean(below) < 0.17


def test_a_shuffle_keeps_how_often_each_label_occurs_in_a_trace() -> None:
    traces = drawn("semi_markov", 10)[1]
    counts = shuffled_counts(traces, 5, np.random.default_rng(0)).reshape(5, 4, 5)
    occurs = np.bincount(traces.label[traces.present], minlength=4)
    ended = counts[:, :, 4].sum(axis=1)
    assert (ended == traces.ended.sum()).all()
    assert (counts.sum(axis=(1, 2)) == traces.scored.sum()).all()
    assert (abs(counts.sum(axis=2) - occurs).sum(axis=1) <= (~traces.ended).sum()).all()


def test_holm_is_the_step_down_procedure() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_steps_to_the_answer_are_those_of_the_chain() -> None:
    # 0 goes on to 1 or stays, evenly; 1 goes to the answer, 2: two steps, then one.
    rng = np.random.default_rng(0)
    labels = [[0] * int(rng.geometric(0.5)) + [1, 2] for _ in range(4000)]
    found = {row.from_: row.steps for row in steps_to(from_labels(labels), 2, BOOTSTRAP)}
    names = from_labels(labels).names
    assert found[names[0]].value == pytest.approx(3.0, abs=0.1)
    assert found[names[1]].value == pytest.approx(1.0)
    assert known(found[names[0]]).low < 3.0 < known(found[names[0]]).high
    assert names[2] not in found
