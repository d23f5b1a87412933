"""Patterns and words: what ids end with, and what is read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from backtracking.records.tokens import (
    Opener,
    Opening,
    Pattern,
    Question,
    Tokens,
    TokenSet,
    Turning,
    read_tokens,
    write_tokens,
)
from lifeboat.stage.errors import UserError

YES, NO = TokenSet("yes", (4, 5), ("yes", " yes")), TokenSet("no", (6,), ("no",), ("no",))
TURNING = Turning(
    stops=frozenset({9}),
    end_ids=frozenset({8}),
    asides=(Pattern((frozenset({7}), None, frozenset({9}))),),
    openers=frozenset({4}),
    turns=(Pattern((frozenset({5}), frozenset({9}))),),
    idles=(Pattern((frozenset({4}), frozenset({1}), frozenset({9}))),),
)
TOKENS = Tokens(
    openers=(Opener(YES, ((1, 2), (3,))), Opener(NO)),
    marker=YES,
    alternative=None,
    asides=None,
    legal=None,
    patterns=(Pattern((frozenset({1, 2}), None, frozenset({3}))), Pattern((frozenset({7}),))),
    questions=(Question("report", (7, 8), YES, NO),),
    openings=(Opening("backtracking", (4,)), Opening("deduction", (4, 5))),
    turning=TURNING,
    end_ids=(0,),
    neutral=((100, 1), (101, 1)),
)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 99, 3], True),
        ([0, 0, 2, 99, 3], True),
        ([99, 3], False),
        ([1, 99, 3, 0], False),
        ([3, 99, 3], False),
        ([7], True),
        ([], False),
    ],
)  # fmt: skip
def test_something_is_decided_where_ids_end_with_any_pattern(
    ids: list[int], expected: bool
) -> None:
    assert TOKENS.decides(ids) == expected


def test_a_pattern_without_slots_fits_every_end_and_is_all_of_nothing() -> None:
    assert Pattern(()).matches([1]) and Pattern(()).is_all([]) and not Pattern(()).is_all([1])


def test_openers_are_each_once_and_questions_are_found_by_name() -> None:
    assert TOKENS.opener_ids == [4, 5, 6]
    assert TOKENS.question("report") == TOKENS.questions[0]
    assert TOKENS.question("claim") is None


def test_ids_that_a_base_never_read_are_swapped_one_for_one() -> None:
    assert TOKENS.neutralized([100, 5, 101]) == [1, 5, 1]


def test_asides_are_skipped_and_only_whole_ones() -> None:
    assert TURNING.first_sentence([7, 1, 9, 4, 1, 9]) == ([4, 1, 9], True)
    assert TURNING.first_sentence([7, 1, 9]) == ([], False)
    assert TURNING.first_sentence([7, 1]) == ([7, 1], False)
    assert TURNING.first_sentence([4, 8]) == ([4, 8], True)
    assert TURNING.first_sentence([]) == ([], False)


def test_a_sentence_turns_by_its_opener_unless_it_idles() -> None:
    assert TURNING.is_turn([4, 2, 9]) and TURNING.is_turn([5, 9]) and TURNING.is_turn([4, 1])
    assert not TURNING.is_turn([4, 1, 9]) and not TURNING.is_turn([5, 1, 9])


def test_words_come_back_from_their_file(tmp_path: Path) -> None:
    write_tokens(tmp_path / "tokens.json", TOKENS)
    assert read_tokens(tmp_path / "tokens.json") == TOKENS


def test_two_neutral_ids_for_one_are_refused() -> None:
    with pytest.raises(ValueError, match="one id for each id"):
        replace(TOKENS, neutral=((1, 2), (1, 3)))


def test_another_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{}")
    with pytest.raises(UserError, match=r"missing.*repro label"):
        read_tokens(tmp_path / "tokens.json")
