"""Events: what follows a decision, by keyword and by the grammar, and what it weighs."""

from pathlib import Path

import numpy as np
import pytest

from backtracking.directions.events import (
    Event,
    Turn,
    first_sentence,
    read_events,
    turn_of,
    weigh,
    write_events,
)
from backtracking.records.moments import Moments
from lifeboat.stage.errors import UserError

EVENT = Event("p0/0", "p0", 14, "over", True, True, 8, 6, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wait , 18 is too big . Undo 4 on 14 .", Turn(True, True)),
        ("No , that is over .", Turn(True, True)),
        ("Undo 4 on 14 . Left 7 .", Turn(False, True)),
        ("Wait , fine . Hmm .", Turn(True, False)),
        ("Check : over . Wait , 18 is too big .", Turn(True, True)),
        ("Check : under . Try 7 on 14 .", Turn(False, False)),
        ("Hmm . Wait , fine .", Turn(False, False)),
        ("Wait , 18", Turn(True, True)),
        ("</s>", Turn(False, False)),
    ],
)
def test_a_turn_is_read_from_the_first_sentence_that_is_no_check(text: str, expected: Turn) -> None:
    assert turn_of(text.split()) == expected


def test_where_nothing_but_a_check_follows_there_is_no_turn() -> None:
    assert turn_of([]) is None and turn_of(["Check", ":", "over", "."]) is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("Wait , fine", False), ("Wait , fine .", True), ("Check : over .", False),
        ("Check : over", False), ("Check : over . Hmm .", True), ("</s>", True),
    ],
)  # fmt: skip
def test_a_sentence_is_whole_with_its_full_stop_or_the_end(text: str, whole: bool) -> None:
    assert first_sentence(text.split())[1] == whole


def test_events_weigh_their_stability_and_lost_ones_are_left_out() -> None:
    n = 4
    text, zero = np.full(n, "", dtype=object), np.zeros(n, dtype=np.int64)
    moments = Moments(
        zero, text, zero, text, zero, np.array([5, 15, 25, 35]), text, text, text, text, zero
    )
    lost = Event("p0/0", "p0", 24, "over", True, True)
    undone = Event("p0/0", "p0", 34, "over", False, True, 8, 0, 8)
    found = weigh(moments, ["p0/0"], [EVENT, lost, undone])
    assert found.rows.tolist() == [True, True, False, True]
    assert found.is_keyword.tolist() == [False, True, False]
    assert found.weight.tolist() == [1.0, 0.5, 1.0]


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    events = [EVENT, Event("p1/0", "p1", 9, "alive", True, False)]
    assert [event.stability for event in events] == [0.5, None]
    write_events(tmp_path / "events.jsonl", events)
    assert read_events(tmp_path / "events.jsonl") == events


def test_an_event_with_other_keys_is_refused_by_line_and_name(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"trace_id": "p0/0"}\n')
    with pytest.raises(UserError, match=r"line 1: .*is_keyword"):
        read_events(tmp_path / "events.jsonl")
