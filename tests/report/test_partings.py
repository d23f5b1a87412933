"""One problem at three coefficients, as a page shows what a model wrote."""

import markdown_it
import pytest

from backtracking.report.committed import Results
from backtracking.report.partings import NOTHING, partings_table
from backtracking.report.words import quoted

ROW = {
    "target": "reasoning", "direction": "base", "problem_id": "a", "prompt": "Make 9.",
    "before": "10 is not 9.", "unsteered": "Wait, too big.", "steered": "Try 1.",
}  # fmt: skip
SUMMARY = {"study_model": "reasoning", "study_base": "base"}


def results(*rows: dict[str, str]) -> Results:
    return Results(SUMMARY, [], {"partings": rows}, [])


def test_both_signs_of_the_first_problem_are_told_and_of_no_other_direction() -> None:
    told = partings_table(
        results(
            ROW | {"direction": "reasoning", "dose": "1.0", "steered": "Own"},
            ROW | {"dose": "-1.0"},
            ROW | {"dose": "1.0", "unsteered": "", "steered": "No."},
            ROW | {"dose": "1.0", "problem_id": "b", "steered": "Later"},
        )
    )
    *_, down, up = told.splitlines()
    assert down == "| -1 | 10 is not 9. | Wait, too big. | Try 1. |"
    assert up == "| +1 | 10 is not 9. | (it ends) | No. |"
    assert told.startswith("Problem: Make 9.")
    assert "Own" not in told and "Later" not in told


def test_where_nothing_was_changed_that_is_said() -> None:
    assert partings_table(results(ROW | {"direction": "reasoning", "dose": "1.0"})) == NOTHING


HOSTILE = (
    "<script>alert(1)</script>", "a | b\n\n# c", "`x` *y* _z_ [l](http://h)", "\u202eright\u200b",
    "![i](http://h/i.png)", "$\\frac{1}{2}$ <!-- end -->", "&lt;b&gt;", "1. one\n2. two",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_words_of_a_model_are_no_markup_of_the_page(text: str) -> None:
    shown = quoted(text)
    (cell,) = markdown_it.MarkdownIt("js-default").parse(f"| {shown} |\n| --- |\n")[4:5]
    plain = [one for one in cell.children or [] if one.type not in ("text", "text_special")]
    assert plain == []
    said = "".join(one.content for one in cell.children or [])
    assert said == " ".join("".join(c if c.isprintable() else " " for c in text).split())
    assert "<!--" not in shown


def test_long_words_are_cut() -> None:
    assert quoted("a" * 400) == "a" * 299 + "…"
