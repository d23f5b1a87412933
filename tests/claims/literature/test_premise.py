"""The premise: a base that was never taught the classes must not pass for one that tells them."""

import pytest
from synthetic_results import study_with

from backtracking.claims.literature.premise import premise
from backtracking.records.intervals import Interval
from backtracking.records.rows.directions import Counts, Strength
from backtracking.records.rows.probe import Choice, Probed

PAIRS = {"reasoning": "base", "nostatement": "nostatement-base"}
FALSE = {"nostatement": ("transfer", "premise")}


def strength(auroc: float, low: float | None, high: float | None, role: str = "base") -> Strength:
    return Strength(
        role, "matched", None, "0:0", 2, 2.0, 1.9, 1.7, 2.1, 0.3, 0.025, 0.97, auroc,
        Counts(300, 300, 5, 0.0), 9.0, low, high,
    )  # fmt: skip


UNTAUGHT = strength(0.634, 0.594, 0.674, "nostatement-base")


def probed(baseline: float, difference: float) -> Probed:
    choice = Choice("base", "over", 2, 0, "words", 0.1, "inside", 0.9)
    auroc = Interval(baseline + difference, 0.5, 1.0, 70)
    beyond = Interval(difference, difference - 0.02, difference + 0.02, 70)
    return Probed(choice, auroc, baseline, beyond, None, None, None, 300)


@pytest.mark.parametrize(
    ("auroc", "low", "words", "difference", "verdict"),
    [
        (0.66, 0.62, 0.988, -0.1, "fails"),
        (0.88, 0.84, 0.988, 0.001, "holds"),
        (1.0, None, 0.988, 0.001, "holds"),
        (0.66, 0.62, 0.6, 0.1, "holds"),
        (0.88, 0.84, 0.9, -0.02, "fails"),
        (0.52, 0.48, 0.6, 0.1, "fails"),
    ],
)
def test_where_words_leave_no_room_the_bar_is_a_base_without_lessons_and_else_words_are_the_bar(
    auroc: float, low: float | None, words: float, difference: float, verdict: str
) -> None:
    high = None if low is None else min(1.0, auroc + 0.04)
    rows = strength(auroc, low, high), UNTAUGHT, probed(words, difference)
    study = study_with(*rows, pairs=PAIRS, false=FALSE)
    assert premise(study, "reasoning").verdict == verdict
    assert premise(study, "nostatement").verdict == "fails"


def test_without_a_probe_the_bar_is_that_base() -> None:
    rows = strength(0.7, 0.66, 0.74), UNTAUGHT
    found = premise(study_with(*rows, pairs=PAIRS, false=FALSE), "reasoning")
    assert (found.verdict, found.null) == ("fails", UNTAUGHT.dev_high)
    assert "no probe was read" in found.why


def test_where_words_decide_and_no_base_is_without_lessons_nothing_can_be_asked() -> None:
    rows = strength(0.9, 0.86, 0.94), probed(0.988, 0.0)
    assert premise(study_with(*rows, pairs=PAIRS), "reasoning").verdict == "untestable"
