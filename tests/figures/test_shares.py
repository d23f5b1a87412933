"""What follows what, and what a second labeller says: shares that were counted by hand."""

import pytest
from planted_figures import BOOTSTRAP, sentences

from backtracking.figures.labels import agreement, transitions
from backtracking.figures.picture import Absent, Drawn
from backtracking.figures.shares import beside, following, shares
from backtracking.records.posteriors import END

SAID = [
    *sentences("a", "deduction", "backtracking", others=("deduction", "deduction")),
    *sentences("b", "deduction", "deduction", others=("backtracking", "deduction")),
]
PROBLEM = {"a": "p", "b": "q"}


def test_a_trace_that_was_cut_does_not_end() -> None:
    found = following(SAID, "exact", PROBLEM, {"a": True, "b": False}, BOOTSTRAP)
    assert found is not None and found.rows == ("deduction", "backtracking") and found.n == (2, 1)
    assert found.columns == ("deduction", "backtracking", END)
    assert [one.value for one in found.cells[0]] == [0.5, 0.5, 0]
    assert [one.value for one in found.cells[1]] == [0, 0, 1]
    assert found.cell("backtracking", "final-answer") is None


def test_sentences_without_the_labeller_are_passed_over() -> None:
    others = [*SAID, *sentences("c", "deduction", "deduction", first="somebody")]
    found = following(others, "exact", PROBLEM, {}, BOOTSTRAP)
    assert found is not None and sum(found.n) == 2


def test_a_second_labeller_is_held_against_the_first() -> None:
    found, f1 = beside(SAID, "exact", "rules", PROBLEM, BOOTSTRAP)
    assert found is not None and f1 is not None and f1.value == 0
    assert [one.value for one in found.cells[0]] == pytest.approx([2 / 3, 1 / 3])
    told = agreement(found, "exact", "rules", f1)
    assert isinstance(told, Drawn) and "finds 0.000" in told.title


def test_a_labeller_alone_has_none_to_agree_with() -> None:
    found, f1 = beside(sentences("a", "deduction"), "exact", "rules", PROBLEM, BOOTSTRAP)
    assert isinstance(agreement(found, "exact", "rules", f1), Absent)
    assert isinstance(transitions(shares([], BOOTSTRAP)), Absent)


def test_one_problem_has_no_interval_and_what_never_backtracks_is_told_too() -> None:
    pairs = [("deduction", "deduction", "p"), ("deduction", "final-answer", "p")] * 2
    told = transitions(shares([*pairs, pairs[0]], BOOTSTRAP))
    assert isinstance(told, Drawn)
    assert told.title == "After deduction comes deduction in 0.600 of the cases"
