"""Matched neutral points: every condition, as many as can be, and the classes that they make."""

import numpy as np
import pytest

from backtracking.labels.matching import (
    Candidates,
    Like,
    match,
    sort_of,
    with_events,
)
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.sentences import Decision, Sentence
from backtracking.records.traces import Trace

EVENT = {"index": 20, "position": 400, "token": 7, "length": 10, "sort": "statement"}
ALIKE = {"index": 10, "position": 200, "token": 7, "length": 12, "sort": "statement"}


def points(*rows: dict) -> Candidates:
    """The first is an event; the others say whether they are."""
    rows = tuple({"trace": 0, "is_event": n == 0} | one for n, one in enumerate(rows))
    columns = {
        name: np.array([row[name] for row in rows])
        for name in ("trace", "index", "position", "token", "length", "is_event")
    }
    return Candidates(**columns, sort=[row["sort"] for row in rows])


def test_a_point_that_is_alike_is_matched() -> None:
    found = match(points(EVENT, ALIKE), Like())
    assert (found.event.tolist(), found.neutral.tolist(), found.n_unmatched) == ([0], [1], 0)


@pytest.mark.parametrize(
    "other",
    [{"trace": 1}, {"position": 99}, {"token": 8}, {"length": 14}, {"length": 6},
     {"sort": "question"}, {"index": 18}, {"index": 22}],
)  # fmt: skip
def test_one_that_differs_in_anything_is_not_and_the_event_is_counted(other: dict) -> None:
    found = match(points(EVENT, ALIKE | other), Like())
    assert (len(found.event), found.n_unmatched) == (0, 1)


def test_no_point_serves_twice_and_as_many_events_are_matched_as_can_be() -> None:
    """The nearer event would take the only point that the other one can have."""
    near = ALIKE | {"index": 40, "position": 560}
    second = EVENT | {"index": 50, "position": 600, "length": 11, "is_event": True}
    only = ALIKE | {"index": 30, "position": 700, "length": 13}
    found = match(points(EVENT | {"length": 10}, second, near, only), Like())
    assert found.n_unmatched == 0
    assert dict(zip(found.event.tolist(), found.neutral.tolist(), strict=True)) == {0: 2, 1: 3}


def test_decisions_are_named_and_no_more_neutral_ones_than_events() -> None:
    trace = Trace("a/0", "a", "train", 0, [1], [5, 6, 7] * 12, "", "stop", {})
    texts = [f"So {n}." for n in range(12)]
    sentences = [
        Sentence("a/0", n, 1 + 3 * n, 4 + 3 * n, text, True, {}) for n, text in enumerate(texts)
    ]
    decisions = [
        Decision("a/0", "a", "train", n, 1 + 3 * n, 3 + 3 * n, "deduction",
                 "turns" if n in (2, 3) else "goes on", None)
        for n in range(12)
    ]  # fmt: skip
    named, n_unmatched = with_events(decisions, sentences, [trace])
    found = {one.index: one.event for one in named if one.event}
    assert n_unmatched == 0 and found == {2: "event", 3: "event", 6: "neutral", 7: "neutral"}
    columns = Decisions.gather(named, [trace], ())
    classes = Classes("event", ("event",), ("neutral",), ())
    assert columns.is_positive(classes).sum() == columns.is_negative(classes).sum() == 2


@pytest.mark.parametrize(
    ("sentence", "sort"),
    [("Is that 12?", "question"), ("So 3 + 4 = 7.", "equation"), ("Let me see.", "statement"),
     ("Let x = y.", "statement"), ('"Why?"', "question")],
)  # fmt: skip
def test_sorts(sentence: str, sort: str) -> None:
    assert sort_of(sentence) == sort
