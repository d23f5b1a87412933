"""A row of claims.json: the pair's finding, the published value and every control pair's."""

import pytest
from synthetic_results import study_with

from backtracking.claims.literature.rows import (
    agreement,
    answer,
    untestable,
)
from backtracking.claims.literature.study import Study
from backtracking.records.intervals import above
from backtracking.records.rows.claims import Beside, Finding, Published, Question

QUESTION = Question(
    "alike", "a study", "They are alike.", "cosine", "above 0", "emergent", Published(0.74, "x")
)
STUDY = study_with(pairs={"reasoning": "base", "shuffled": "base", "scratch": "base"})


def find(_study: Study, role: str) -> Finding:
    if role == "scratch":
        return untestable("was not run")
    return Finding("holds" if role == "reasoning" else "fails", 0.7, 0.6, 0.8, 40)


def test_a_row_has_the_pair_under_study_and_every_control_beside_it() -> None:
    row = answer(STUDY, QUESTION, find)
    assert (row.finding.pair, row.finding.verdict) == ("reasoning", "holds")
    assert row.agreement == "agrees"
    assert list(row.by_control) == ["shuffled", "scratch"]
    assert row.by_control["shuffled"].verdict == "fails"
    assert row.by_control["scratch"] == Beside(
        "", "scratch", None, None, None, "untestable", "was not run"
    )


@pytest.mark.parametrize(
    ("published", "finding", "expected"),
    [
        (Published(0.74, ""), Finding("holds", 0.7, 0.6, 0.8, 9), "agrees"),
        (Published(0.74, ""), Finding("holds", 0.5, 0.4, 0.6, 9), "differs"),
        (Published(0.74, "", 0.55, 0.9), Finding("holds", 0.5, 0.4, 0.6, 9), "agrees"),
        (
            Published(0.74, "", comparable=False),
            Finding("holds", 0.7, 0.6, 0.8, 9),
            "not comparable",
        ),
        (Published(None, ""), Finding("holds", 0.7, 0.6, 0.8, 9), "not comparable"),
        (Published(0.74, ""), Finding("holds", 0.7), "not comparable"),
    ],
)
def test_values_agree_where_their_intervals_overlap(
    published: Published, finding: Finding, expected: str
) -> None:
    assert agreement(published, finding) == expected


def test_a_bound_that_is_missing_makes_a_part_untestable_and_never_false() -> None:
    assert [above(0.2, 0.1), above(0.1, 0.2), above(None, 0.1), above(0.2, None)] == [
        "holds", "fails", "untestable", "untestable",
    ]  # fmt: skip
    assert Finding.of({"a": "holds", "b": "untestable"}).verdict == "untestable"
    assert Finding.of({"a": "fails", "b": "untestable"}).verdict == "fails"
