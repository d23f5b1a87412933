"""The rules read opening words; agreement equals scikit-learn's; degenerate text has no rate."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score

from backtracking.labels.agreement import Agreement, agreement, agreement_measures, confusion
from backtracking.labels.rules import keyword_rate, label_by_rules
from backtracking.labels.states import STATES
from backtracking.statistics.bootstrap import Bootstrap


@pytest.mark.parametrize(
    ("state", "sentences"),
    [
        (
            "backtracking",
            (
                "Wait, 19 is too big.|but wait!|Oh, WAIT|Hmm, wait, no.|No, that is over.|No."
                "|**Actually**|Alternatively, x = 3.|Hold on.|Let me try again.|Back to 27."
                "|Going back, we see|Let's reconsider.|That’s not right."
                "|So that doesn't work.|Wait for 7."
            ),
        ),
        ("final-answer", "So the answer is 5.|Therefore, the answer|**Final Answer**|Found 27."),
        (
            "uncertainty-estimation",
            "Hmm.|hmmm, 5|Maybe 3.|I'm not sure|Perhaps we can|Not certain.",
        ),
        (
            "example-testing",
            "Try 9 on 19.|Let's test x = 3.|For example, 4.|Suppose x.|So let me check",
        ),
        ("adding-knowledge", "Recall that 7 is prime.|We know x.|Left 7 8.|Given x.|I remember"),
        ("initializing", "Okay, so I need x.|Let me think.|Start at 0.|Goal 28.|The problem says"),
        (
            "deduction",
            (
                "Total 9.|Compare 9 with 27.|So x = 3.|We await 3.|Await x.|Waiting helps."
                "|None left.|No number is left.|I can wait.|Founders|...|"
            ),
        ),
    ],
)
def test_rules_label_a_sentence_by_its_opening_words(state: str, sentences: str) -> None:
    for sentence in sentences.split("|"):
        assert label_by_rules(sentence) == state, sentence


def test_agreement_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for share in (0.1, 0.5, 0.9):
        first = rng.choice(STATES, 400)
        second = np.where(rng.random(400) < share, first, rng.choice(STATES, 400))
        a, b = first == "backtracking", second == "backtracking"
        found = agreement(first.tolist(), second.tolist())
        assert found.n == 400
        assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
        assert found.kappa_positive == pytest.approx(cohen_kappa_score(a, b))
        assert found.f1 == pytest.approx(f1_score(a, b))


def test_kappa_is_near_zero_for_shuffled_labels_and_one_for_equal_ones() -> None:
    rng = np.random.default_rng(1)
    labels = rng.choice(STATES, 5000, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05])
    shuffled = agreement(labels.tolist(), rng.permutation(labels).tolist())
    assert shuffled.kappa == pytest.approx(0, abs=0.03)
    assert shuffled.kappa_positive == pytest.approx(0, abs=0.05)
    assert agreement(labels.tolist(), labels.tolist()) == Agreement(5000, 1.0, 1.0, 1.0)


def test_undefined_agreement_is_none_and_not_nan() -> None:
    same = ["deduction"] * 3
    wait = ["backtracking"] * 3
    assert agreement(same, same) == Agreement(3, None, None, None)
    assert agreement([], []) == Agreement(0, None, None, None)
    assert agreement(same, wait) == Agreement(3, 0.0, 0.0, 0.0)
    assert agreement(wait, wait) == Agreement(3, None, None, 1.0)


def test_agreement_has_intervals_by_problem() -> None:
    rng = np.random.default_rng(2)
    first = rng.choice(STATES, 600)
    second = np.where(rng.random(600) < 0.7, first, rng.choice(STATES, 600))
    problems = [f"p{row // 10}" for row in range(600)]
    cells = confusion(first.tolist(), second.tolist())
    intervals = Bootstrap(300, 0.95, 0).intervals(cells, problems, agreement_measures)
    point = agreement(first.tolist(), second.tolist())
    for interval, value in zip(
        intervals, (point.kappa, point.kappa_positive, point.f1), strict=True
    ):
        low, high = interval.low, interval.high
        assert interval.value == pytest.approx(value)
        assert low is not None
        assert high is not None
        assert value is not None
        assert low < value < high
        assert interval.n == 60


def test_agreement_says_what_is_wrong_with_its_labels() -> None:
    with pytest.raises(ValueError, match="found 1 and 2 labels"):
        agreement(["deduction"], ["deduction"] * 2)
    with pytest.raises(ValueError, match=r"found \['unparsed'\]; the states are"):
        agreement(["deduction"], ["unparsed"])


def test_keyword_rate_counts_whole_words_per_hundred() -> None:
    text = "Wait, we await the waiting waiter. Hmm, wait; hmmm " + "x y " * 20
    assert keyword_rate(text) == pytest.approx(100 * 4 / 49)
    assert keyword_rate("The sum is 3, so we stop here.") == 0.0


@pytest.mark.parametrize(
    "text", ["", "Wait.", "Wait wait wait wait wait wait", ". , ! ?", "7 " * 90]
)
def test_degenerate_text_has_no_keyword_rate(text: str) -> None:
    assert keyword_rate(text) is None
