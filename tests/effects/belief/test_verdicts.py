"""Verdicts on planted changes: a belief, an action, what is not read, and what is no test."""

from dataclasses import replace

import pytest

from backtracking.effects.belief.verdicts import Doing, judge, standing
from backtracking.records.intervals import Interval
from backtracking.records.rows.belief import Ceiling, Patched, Standing

UNDEFINED = Interval(None, None, None, 40)


def interval(value: float, width: float = 0.05) -> Interval:
    return Interval(float(value), value - width, value + width, 40)


READ = Ceiling(interval(10), interval(1.6), interval(0.9), interval(0.95))
UNREAD = replace(READ, patch=interval(0.01, 0.03))
OWN = Doing(
    share=interval(0.8),
    beta=interval(0.9),
    minus_action=interval(0.6),
    null=0.4,
    p=0.01,
    flipped=interval(0.8),
    flipped_null=0.1,
    reached=True,
    fluent=0.99,
)


def place(stands: Standing) -> Patched:
    return Patched("reasoning", 1, "E2", "b", READ, stands, "no test", 60)


@pytest.mark.parametrize(
    ("beta", "minus_action", "verdict"),
    [
        (0.9, 0.6, "belief"),
        (0.9, 0.02, "mixed"),
        (0.52, 0.4, "mixed"),
        (0.3, 0.2, "mixed"),
        (0.14, 0.1, "action"),
        (0.16, 0.1, "mixed"),
        (-0.5, -0.6, "action"),
    ],
)
def test_the_whole_interval_has_to_lie_beyond_the_bound(
    beta: float, minus_action: float, verdict: str
) -> None:
    doing = replace(OWN, beta=interval(beta), minus_action=interval(minus_action))
    assert judge(place("read"), doing)[0] == verdict


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"null": 0.8}, "random directions move the readout as much"),
        ({"flipped": interval(0.1)}, "random directions flip as many"),
        ({"flipped": interval(0.04), "flipped_null": 0.0}, "random directions flip as many"),
        ({"minus_action": interval(0)}, "`action` moves the readout as much"),
    ],
)
def test_what_is_below_chance_or_flips_no_answer_is_no_belief(changed: dict, reason: str) -> None:
    """However large beta is: any disturbance of a model that is sure gives one."""
    verdict, found = judge(place("read"), replace(OWN, **changed))
    assert verdict == "mixed" and reason in found


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"reached": False}, "never raises the marker"),
        ({"fluent": 0.85}, "breaks the model"),
        ({"fluent": None}, "breaks the model"),
        ({"beta": UNDEFINED}, "no interval"),
        ({"minus_action": UNDEFINED}, "`action` never raises the marker"),
        ({"null": None, "flipped_null": None}, "no random directions"),
    ],
)
def test_what_a_belief_hangs_on_and_is_not_there_makes_it_untestable(
    changed: dict, reason: str
) -> None:
    verdict, found = judge(place("read"), replace(OWN, **changed))
    assert verdict == "untestable" and reason in found


def test_an_action_hangs_on_neither_the_null_nor_the_arm_action() -> None:
    lacking = {"null": None, "flipped_null": None, "minus_action": UNDEFINED}
    assert judge(place("read"), replace(OWN, beta=interval(0.1), **lacking))[0] == "action"


def test_a_place_that_is_not_read_says_so_of_what_moves_nothing_and_of_nothing_else() -> None:
    still, moves = (replace(OWN, share=interval(share), beta=UNDEFINED) for share in (0.02, 0.3))
    assert judge(place("not read by the report"), still) == ("not read by the report", "")
    verdict, reason = judge(place("not read by the report"), moves)
    assert verdict == "untestable" and "which the donor's state does not" in reason
    assert judge(place("untestable"), OWN) == ("untestable", "no test")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"natural": interval(0.01)}, "readout does not tell the donor"),
        ({"natural": UNDEFINED}, "readout does not tell the donor"),
        ({"marker_natural": interval(0.01)}, "marker does not tell the donor"),
        ({"marker": interval(0.01)}, "does not raise the marker"),
        ({"patch": interval(0.49)}, "less than half"),
        ({"patch": interval(0.03, 0.08)}, "less than half"),
        ({"patch": interval(0.06, 0.02)}, "less than half"),
        ({"patch": interval(-0.06, 0.02)}, "less than half"),
        ({"patch": interval(0.01), "marker": interval(0.52)}, "neither the readout nor"),
    ],
)
def test_what_the_patch_does_not_show_is_untestable(changed: dict, reason: str) -> None:
    stands, found = standing(replace(READ, **changed), 1)
    assert stands == "untestable" and reason in found


@pytest.mark.parametrize("ceiling", [READ, UNREAD])
def test_above_the_last_layer_nothing_attends_so_nothing_is_tested_there(ceiling: Ceiling) -> None:
    """Neither that the readout moves by construction, nor that by construction it does not."""
    assert standing(ceiling, 1)[0] == ("read" if ceiling is READ else "not read by the report")
    stands, reason = standing(ceiling, 0)
    assert stands == "untestable" and "can attend" in reason
