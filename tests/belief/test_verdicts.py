"""Verdicts on planted changes: a belief, an action, what is between, and what cannot be tested."""

import numpy as np
import pytest

from backtracking.belief.verdicts import betas, judge
from backtracking.records.intervals import Interval
from backtracking.records.rows.belief import Ceiling
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(300, 0.95, 0)
UNDEFINED = Interval(None, None, None, 40)
PROBLEMS = [f"p{n // 4}" for n in range(160)]


def interval(value: float, width: float = 0.05) -> Interval:
    return Interval(float(value), value - width, value + width, 40)


TESTABLE = Ceiling(interval(10), interval(9), interval(1.5))


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
    assert judge(TESTABLE, interval(beta), interval(minus_action), True) == (verdict, "")


@pytest.mark.parametrize(
    ("ceiling", "reason"),
    [
        (Ceiling(interval(0.01), interval(9), interval(1)), "does not tell the donor"),
        (Ceiling(interval(10), interval(0.01), interval(1)), "does not move"),
        (Ceiling(interval(10), interval(4.9), interval(1)), "less than half"),
        (Ceiling(interval(10), interval(9), interval(0.01)), "does not raise the marker"),
        (Ceiling(UNDEFINED, interval(9), interval(1)), "does not tell the donor"),
    ],
)
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_what_the_patch_cannot_move_is_untestable_and_never_an_action(
    ceiling: Ceiling, reason: str, beta: float
) -> None:
    verdict, found = judge(ceiling, interval(beta), interval(beta), True)
    assert verdict == "untestable" and reason in found


def test_a_direction_that_never_reaches_the_dose_is_untestable() -> None:
    verdict, reason = judge(TESTABLE, interval(0.0), interval(0.0), False)
    assert verdict == "untestable" and "never raises the marker" in reason


def test_without_a_dose_for_action_a_belief_is_untestable_and_an_action_is_not() -> None:
    assert judge(TESTABLE, interval(0.9), UNDEFINED, True)[0] == "untestable"
    assert judge(TESTABLE, interval(0.1), UNDEFINED, True)[0] == "action"


def planted(beta: float, noise: float = 0.5) -> dict[str, np.ndarray]:
    """Changes of 160 items: the patch's around 10, a direction's that times beta."""
    rng = np.random.default_rng(3)
    patch = 10 + rng.normal(size=160)
    return {"patch": patch, "v": beta * patch + noise * rng.normal(size=160)}


@pytest.mark.parametrize("truth", [0.0, 0.15, 0.4, 0.9])
def test_beta_finds_the_planted_share(truth: float) -> None:
    changes = planted(truth)
    beta, _ = betas({"v": changes["v"]}, changes["patch"], PROBLEMS, BOOTSTRAP)["v"]
    assert beta.value == pytest.approx(truth, abs=0.02)
    assert beta.low is not None and beta.high is not None
    assert beta.low < truth + 0.02 and beta.high > truth - 0.02


def test_beta_of_the_patch_is_one_and_of_nothing_zero() -> None:
    patch = planted(0)["patch"]
    found = betas({"same": patch, "none": 0 * patch}, patch, PROBLEMS, BOOTSTRAP, "none")
    assert (found["same"][0].value, found["same"][0].low, found["same"][0].high) == (1, 1, 1)
    assert found["none"][0].value == 0
    assert found["same"][1].value == 1


def test_the_difference_to_action_is_paired() -> None:
    """Noise that both arms share widens neither."""
    rng = np.random.default_rng(1)
    patch, shared = np.full(160, 10.0), 5 * rng.normal(size=160)
    found = betas({"v": shared + 6, "action": shared}, patch, PROBLEMS, BOOTSTRAP)
    _, minus_action = found["v"]
    assert minus_action.low == pytest.approx(0.6) == minus_action.high


def test_beta_is_undefined_where_the_patch_moves_the_other_way() -> None:
    patch = planted(0)["patch"]
    assert betas({"v": patch}, -patch, PROBLEMS, BOOTSTRAP)["v"][0].value is None
