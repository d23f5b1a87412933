"""Pairs come back, are refused where they are none, and spread over problems."""

from dataclasses import replace
from pathlib import Path

import pytest

from backtracking.records.grades import Grade, read_grades, write_grades
from backtracking.records.pairs import (
    FollowUp,
    MinimalPair,
    distinct,
    read_pairs,
    spread,
    write_pairs,
)
from lifeboat.stage.errors import UserError

PAIR = MinimalPair(
    "a/0@3", "a/0", "a", "test", "alive", "over", 2, [1, 2, 3, 4], [1, 9, 3, 4], [1],
    [FollowUp("claim", [5, 6], [5, 7], 1, [8], [9]), FollowUp("legal", [5], [5], 0, [1, 2], [])],
)  # fmt: skip
ALONE = replace(PAIR, kind="over", donor_kind=None, donor_ids=[], changed=[], follow_ups=[])


def test_pairs_come_back_and_an_absent_file_is_none(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [PAIR, ALONE])
    assert read_pairs(tmp_path / "pairs.jsonl") == [PAIR, ALONE]
    assert read_pairs(tmp_path / "none.jsonl") is None
    assert PAIR.follow_up("legal") == PAIR.follow_ups[1] and ALONE.follow_up("legal") is None


@pytest.mark.parametrize(
    "change",
    [
        {"donor_kind": None},
        {"donor_ids": []},
        {"changed": [2]},
        {"donor_ids": [1, 9, 3]},
    ],
)  # fmt: skip
def test_what_is_no_pair_is_refused(change: dict) -> None:
    with pytest.raises(ValueError):
        replace(PAIR, **change)


@pytest.mark.parametrize("change", [{"at": 2}, {"right_ids": []}, {"donor_ids": [5]}])
def test_a_follow_up_that_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, change: dict
) -> None:
    write_pairs(tmp_path / "pairs.jsonl", [PAIR])
    text = (tmp_path / "pairs.jsonl").read_text()
    with pytest.raises(ValueError):
        replace(PAIR.follow_ups[0], **change)
    (tmp_path / "pairs.jsonl").write_text(text.replace('"at": 1', '"at": 5'))
    with pytest.raises(UserError, match=r"line 1, key `follow_ups\[0\]`: expected a FollowUp"):
        read_pairs(tmp_path / "pairs.jsonl")


def test_of_the_same_tokens_the_first_pair_counts() -> None:
    again = replace(PAIR, pair_id="a/1@3")
    assert distinct([PAIR, again, ALONE]) == [PAIR]


def test_pairs_spread_over_problems_in_their_order() -> None:
    pairs = [
        replace(PAIR, pair_id=f"{problem}{number}", problem_id=problem)
        for problem, number in (("a", 0), ("a", 1), ("a", 2), ("b", 0), ("c", 0))
    ]
    assert [one.pair_id for one in spread(pairs, 3)] == ["a0", "b0", "c0"]
    assert [one.pair_id for one in spread(pairs, 4)] == ["a0", "a1", "b0", "c0"]
    assert spread(pairs, 9) == pairs


def test_grades_come_back(tmp_path: Path) -> None:
    grades = [Grade("a/0", "a", "right", "28", "it is"), Grade("a/1", "a", "unfinished", None, "")]
    write_grades(tmp_path / "grades.jsonl", grades)
    assert read_grades(tmp_path / "grades.jsonl") == grades
    text = (tmp_path / "grades.jsonl").read_text().replace("right", "good")
    (tmp_path / "grades.jsonl").write_text(text)
    with pytest.raises(UserError, match="line 1, key `outcome`: expected one of"):
        read_grades(tmp_path / "grades.jsonl")
