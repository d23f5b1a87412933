"""Matched neutral points: every condition, as many as can be, and a planted direction found."""

import numpy as np
import pytest

from backtracking.directions.matching import (
    Candidates,
    Like,
    match,
    mean_difference,
    sort_of,
)

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


def test_the_mean_difference_is_the_planted_direction_and_its_null_is_about_nothing() -> None:
    random = np.random.default_rng(0)
    problems = [f"p{n % 40}" for n in range(200)]
    planted = np.zeros(8)
    planted[2] = 1.0
    own, null = mean_difference(planted + random.normal(size=(200, 8)), problems, 200, 1)
    assert own @ planted / np.linalg.norm(own) > 0.95
    assert np.mean(null @ planted >= own @ planted) < 0.01 and abs(null.mean()) < 0.05


@pytest.mark.parametrize(
    ("sentence", "sort"),
    [("Is that 12?", "question"), ("So 3 + 4 = 7.", "equation"), ("Let me see.", "statement"),
     ("Let x = y.", "statement"), ('"Why?"', "question")],
)  # fmt: skip
def test_sorts(sentence: str, sort: str) -> None:
    assert sort_of(sentence) == sort
