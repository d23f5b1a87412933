"""Verdicts: planted evidence holds, evidence without a contrast fails, none is untestable."""

from dataclasses import replace

import numpy as np
import pytest

from backtracking.claims.verdicts import judge_causal, judge_primary
from backtracking.effects.rates import Steered
from backtracking.records.intervals import Interval, all_of
from backtracking.statistics.effect import Effect

RANDOM = tuple(np.linspace(-0.05, 0.05, 39).tolist())
NONE = Interval(None, None, None, 0)


def around(value: float, half: float = 0.05, n: int = 30) -> Interval:
    return Interval(value, value - half, value + half, n)


PLANTED = Steered(
    target="reasoning",
    direction="base",
    live="alive",
    dead="over",
    contrast=around(0.45),
    raises=Effect(around(0.4), RANDOM),
    lowers=Effect(around(-0.35), RANDOM, -1),
)
SHUFFLED = Steered(
    target="shuffled",
    direction="base",
    live="alive",
    dead="over",
    contrast=around(0.0),
    raises=Effect(around(0.03), RANDOM),
    lowers=Effect(around(-0.02), RANDOM, -1),
)


def test_planted_evidence_holds_with_its_numbers_in_the_row() -> None:
    row = judge_causal(PLANTED)
    assert (row.claim, row.pair, row.kind) == ("causal", "base -> reasoning", "emergent")
    assert row.finding.verdict == "holds" and set(row.finding.parts.values()) == {"holds"}
    found = row.finding
    assert (found.estimate, found.low, found.high, found.n) == (0.4, 0.4 - 0.05, 0.4 + 0.05, 30)
    assert row.finding.null == RANDOM[37] and row.finding.p == 1 / 40


@pytest.mark.parametrize("name", ["causal", "transfer"])
def test_evidence_of_a_shuffled_pair_fails(name: str) -> None:
    row = judge_causal(SHUFFLED, name)
    assert (row.claim, row.finding.verdict) == (name, "fails")
    assert row.finding.parts["tells_dead_from_alive"] == "fails"


@pytest.mark.parametrize("name", ["causal", "transfer"])
def test_a_strong_push_without_a_contrast_to_cause_still_fails(name: str) -> None:
    """A direction that writes "Wait" anywhere raises the rate, and carries no dead end."""
    row = judge_causal(replace(PLANTED, contrast=around(0.0)), name)
    assert row.finding.verdict == "fails"
    assert row.finding.parts == {
        "tells_dead_from_alive": "fails",
        "raises": "holds",
        "lowers": "holds",
    }


@pytest.mark.parametrize(
    ("part", "effect"),
    [
        ("raises", Effect(around(0.4, half=0.5), RANDOM)),
        ("raises", Effect(around(0.4), tuple(0.5 * r / 0.05 for r in RANDOM))),
        ("raises", Effect(around(-0.4), RANDOM)),
        ("lowers", Effect(around(0.35), RANDOM, -1)),
        ("lowers", Effect(around(-0.35, half=0.4), RANDOM, -1)),
        ("lowers", Effect(around(-0.35), tuple(0.5 * r / 0.05 for r in RANDOM), -1)),
    ],
)
def test_one_failing_part_is_enough(part: str, effect: Effect) -> None:
    row = judge_causal(replace(PLANTED, **{part: effect}))
    assert row.finding.verdict == "fails"
    assert [name for name, verdict in row.finding.parts.items() if verdict == "fails"] == [part]


@pytest.mark.parametrize("missing", [NONE, Interval(0.4, None, None, 1)])
def test_what_has_no_interval_is_untestable_and_not_false(missing: Interval) -> None:
    row = judge_causal(replace(PLANTED, raises=Effect(missing, RANDOM)))
    assert row.finding.verdict == row.finding.parts["raises"] == "untestable"
    assert (row.finding.p is None) == (missing.value is None)
    row = judge_causal(replace(PLANTED, contrast=missing))
    assert row.finding.verdict == "untestable"


def test_a_failure_outweighs_what_cannot_be_tested() -> None:
    assert all_of(["holds", "untestable", "fails"]) == "fails"
    assert all_of(["holds", "untestable"]) == "untestable"
    assert all_of(["holds", "holds"]) == "holds"


def test_the_primary_endpoint_holds_beyond_random_every_control_and_every_base() -> None:
    row = judge_primary(PLANTED, {"shuffled": around(0.3)}, {"nostatement": around(0.2)})
    assert row.finding.verdict == "holds"
    assert set(row.finding.parts) == {
        "beyond_random",
        "beyond_control_shuffled",
        "beyond_base_nostatement",
    }
    assert "1 other bases" in row.threshold


@pytest.mark.parametrize("excess", [around(0.02), around(-0.2)])
def test_the_primary_endpoint_fails_where_one_control_reaches_as_high(excess: Interval) -> None:
    controls = {"shuffled": around(0.3), "scratch": excess}
    row = judge_primary(PLANTED, controls, {})
    assert row.finding.verdict == row.finding.parts["beyond_control_scratch"] == "fails"
    row = judge_primary(PLANTED, {"shuffled": around(0.3)}, {"other": excess})
    assert row.finding.verdict == row.finding.parts["beyond_base_other"] == "fails"


def test_the_primary_endpoint_fails_within_random_directions() -> None:
    weak = replace(PLANTED, raises=Effect(around(0.4), tuple(np.linspace(-1, 1, 39).tolist())))
    row = judge_primary(weak, {"shuffled": around(0.3)}, {})
    assert row.finding.verdict == row.finding.parts["beyond_random"] == "fails"


def test_without_controls_the_primary_endpoint_is_untestable() -> None:
    assert judge_primary(PLANTED, {}, {}).finding.verdict == "untestable"
    row = judge_primary(PLANTED, {"shuffled": NONE}, {})
    assert row.finding.parts["beyond_control_shuffled"] == row.finding.verdict == "untestable"
    assert "0 other bases" in row.threshold


def test_what_was_never_measured_is_a_row_that_is_untestable() -> None:
    nothing = Effect(NONE, ())
    row = judge_primary(replace(PLANTED, contrast=NONE, raises=nothing, lowers=nothing), {}, {})
    assert row.finding.verdict == "untestable"
    assert row.finding.estimate is row.finding.p is row.finding.null is None


def test_the_bound_and_p_of_an_effect_follow_its_sign() -> None:
    random = tuple(np.arange(-19, 20) / 100)
    up, down = Effect(around(0.19), random), Effect(around(-0.19), random, -1)
    assert up.bound is not None and down.bound is not None
    assert up.bound == pytest.approx(-down.bound) and up.bound > 0
    assert up.p == down.p == 2 / 40
    assert Effect(around(-0.19), random).p == 1
