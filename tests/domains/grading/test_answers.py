"""What a text gives as its answer, and what cannot be told."""

import pytest

from backtracking.domains.grading.answers import find_answer, grade_text, response_of
from backtracking.domains.grading.numbers import same_number


def outcome(text: str, gold: str = "18", **known) -> str:
    return grade_text(text, gold, same_number, **known).outcome


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"So it is \boxed{18}.", "18"),
        (r"First \boxed{17}. No: \boxed{18}.", "18"),
        (r"Deep: \boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"A brace: \boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"The roots are \boxed{1} and \boxed{2}.", "1, 2"),
        (r"$\boxed{1}$, $\boxed{2}$", "1, 2"),
        (r"\boxed{1} is what I had. But it must be \boxed{2}", "2"),
        ("<answer> 13 + 17 </answer>", "13 + 17"),
        (r"<answer> \boxed{18}", "18"),
        (r"So \boxed{18}. Again: \boxed{18}", "18"),
        (r"\boxed{18}. \boxed{18}.", "18"),
        (r"\boxed{x = \boxed{18}}", "18"),
        ("<answer> 13 + 1", None),
        ("so\n#### 18", "18"),
        ("\\boxed{18}\n#### Check\n9 * 2", "18"),
        ("I do not think the answer is 17.", None),
        ("The answer is 18. I would not say the answer is 17.", "18"),
        ("Therefore, the best answer is: (D).", "(D)"),
        (r"The answer is 3. Hence \boxed{4}", "4"),
        ("The answer is 5.8.", "5.8"),
        ("no box at all", None),
        (r"\boxed{18} and then \boxed{1", None),
    ],
)
def test_the_last_answer_that_is_set_apart_counts(text: str, answer: str | None) -> None:
    assert find_answer(text) == answer


def test_an_answer_is_looked_for_after_the_thinking_alone() -> None:
    assert outcome(r"<think>\boxed{18}</think> \boxed{17}") == "wrong"
    assert outcome(r"\boxed{17}</think> \boxed{18}", begun=True) == "right"
    assert response_of("a</think>b</think>c") == "c"


def test_an_earlier_box_does_not_rescue_an_unfinished_trace() -> None:
    assert outcome(r"<think>It is \boxed{18}, let me check") == "unfinished"
    assert outcome(r"It is \boxed{18}, let me check", begun=True) == "unfinished"
    assert outcome(r"It is \boxed{18}. But wait", finish_reason="length") == "unfinished"
    assert outcome(r"It is \boxed{18}. No: \boxed{1") == "unparsable"


def test_what_cannot_be_read_is_neither_right_nor_wrong() -> None:
    assert outcome(r"\boxed{18 or 19}") == outcome(r"\boxed{}") == outcome("18") == "unparsable"


def test_an_answer_is_kept_with_its_reason() -> None:
    grade = grade_text(r"\boxed{17}", "18", same_number, ids=("p/0", "p"))
    assert (grade.trace_id, grade.problem_id, grade.answer) == ("p/0", "p", "17")
    assert grade.why == "its answer is another one"
