"""Verdicts: planted evidence holds, evidence without a contrast fails, none is untestable."""

from dataclasses import replace

import numpy as np
import pytest

from backtracking.claims.verdicts import Excess, Known, judge_causal, judge_primary
from backtracking.effects.rates import Steered
from backtracking.records.intervals import Interval, all_of
from backtracking.report.because import because
from backtracking.statistics.effect import Effect

DRAWN = tuple(np.linspace(-0.05, 0.05, 39).tolist())
RANDOM = {"random": DRAWN}
FEW = {"random": tuple(0.1 * one for one in DRAWN)}
WIDE = {"random": tuple(0.5 * one / 0.05 for one in DRAWN)}
NONE = Interval(None, None, None, 0)


def around(value: float, half: float = 0.05, n: int = 30) -> Interval:
    return Interval(value, value - half, value + half, n)


PLANTED = Steered(
    target="reasoning",
    direction="base",
    live="alive",
    dead="over",
    endpoint="P_back",
    how="added at dose 1",
    contrast=around(0.45),
    raises=Effect(around(0.4), RANDOM),
    lowers=Effect(around(-0.35), RANDOM, -1),
)
SHUFFLED = Steered(
    target="shuffled",
    direction="base",
    live="alive",
    dead="over",
    endpoint="P_back",
    how="added at dose 1",
    contrast=around(0.0),
    raises=Effect(around(0.03), RANDOM),
    lowers=Effect(around(-0.02), RANDOM, -1),
)


def test_planted_evidence_holds_with_its_numbers_in_the_row() -> None:
    row = judge_causal(PLANTED)
    assert (row.claim, row.finding.pair, row.kind) == ("causal", "base -> reasoning", "emergent")
    assert row.finding.verdict == "holds" and set(row.finding.parts.values()) == {"holds"}
    found = row.finding
    assert (found.estimate, found.low, found.high, found.n) == (0.4, 0.4 - 0.05, 0.4 + 0.05, 30)
    assert row.finding.null == DRAWN[37] and row.finding.p == 1 / 40


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
        **{
            f"{effect}_{part}": "holds"
            for effect in ("raises", "lowers")
            for part in ("off_0", "beyond_random", "reaches_floor")
        },
    }


@pytest.mark.parametrize(
    ("which", "effect", "parts", "said"),
    [
        ("raises", Effect(around(0.4, half=0.5), RANDOM), ["off_0"], "the interval holds 0"),
        (
            "raises",
            Effect(around(0.4), WIDE),
            ["beyond_random"],
            "95 % of the 39 random",
        ),
        ("raises", Effect(around(0.04, 0.01), FEW), ["reaches_floor"], "smaller than a claim may"),
        (
            "raises",
            Effect(around(-0.4), RANDOM),
            ["off_0", "beyond_random", "reaches_floor"],
            "wrong sign",
        ),
        (
            "lowers",
            Effect(around(0.35), RANDOM, -1),
            ["off_0", "beyond_random", "reaches_floor"],
            "wrong sign",
        ),
        ("lowers", Effect(around(-0.35, half=0.4), RANDOM, -1), ["off_0"], "the interval holds 0"),
        (
            "lowers",
            Effect(around(-0.35), WIDE, -1),
            ["beyond_random"],
            "not beyond 95 %",
        ),
    ],
)
def test_one_failing_part_is_enough_and_the_reason_names_it(
    which: str, effect: Effect, parts: list[str], said: str
) -> None:
    row = judge_causal(replace(PLANTED, **{which: effect}))
    assert row.finding.verdict == "fails"
    failing = [name for name, verdict in row.finding.parts.items() if verdict == "fails"]
    assert failing == [f"{which}_{part}" for part in parts]
    where = "At live points" if which == "raises" else "Reversed, at dead ends"
    assert where in because(row.finding) and said in because(row.finding)


@pytest.mark.parametrize("missing", [NONE, Interval(0.4, None, None, 1)])
def test_what_has_no_interval_is_untestable_and_not_false(missing: Interval) -> None:
    row = judge_causal(replace(PLANTED, raises=Effect(missing, RANDOM)))
    assert row.finding.verdict == "untestable"
    lacking = [name for name, one in row.finding.parts.items() if one == "untestable"]
    assert lacking and all(name.startswith("raises_") for name in lacking)
    assert (row.finding.p is None) == (missing.value is None)
    row = judge_causal(replace(PLANTED, contrast=missing))
    assert row.finding.verdict == "untestable"


def test_a_failure_outweighs_what_cannot_be_tested() -> None:
    assert all_of(["holds", "untestable", "fails"]) == "fails"
    assert all_of(["holds", "untestable"]) == "untestable"
    assert all_of(["holds", "holds"]) == "holds"


def test_the_primary_endpoint_holds_beyond_random_every_control_and_every_base() -> None:
    row = judge_primary(
        PLANTED, {"shuffled": Excess(around(0.3))}, {"nostatement": Excess(around(0.2))}
    )
    assert row.finding.verdict == "holds"
    assert set(row.finding.parts) == {
        "off_0",
        "beyond_random",
        "reaches_floor",
        "beyond_control_shuffled",
        "beyond_base_nostatement",
    }
    assert "1 other bases" in row.threshold


@pytest.mark.parametrize("excess", [around(0.02), around(-0.2)])
def test_the_primary_endpoint_fails_where_one_control_reaches_as_high(excess: Interval) -> None:
    controls = {"shuffled": Excess(around(0.3)), "scratch": Excess(excess)}
    row = judge_primary(PLANTED, controls, {})
    assert row.finding.verdict == row.finding.parts["beyond_control_scratch"] == "fails"
    row = judge_primary(PLANTED, {"shuffled": Excess(around(0.3))}, {"other": Excess(excess)})
    assert row.finding.verdict == row.finding.parts["beyond_base_other"] == "fails"


def test_the_primary_endpoint_fails_within_random_directions() -> None:
    weak = replace(
        PLANTED, raises=Effect(around(0.4), {"random": tuple(np.linspace(-1, 1, 39).tolist())})
    )
    row = judge_primary(weak, {"shuffled": Excess(around(0.3))}, {})
    assert row.finding.verdict == row.finding.parts["beyond_random"] == "fails"


def test_without_controls_the_primary_endpoint_is_untestable() -> None:
    assert judge_primary(PLANTED, {}, {}).finding.verdict == "untestable"
    row = judge_primary(PLANTED, {"shuffled": Excess(NONE)}, {})
    assert row.finding.parts["beyond_control_shuffled"] == row.finding.verdict == "untestable"
    assert "0 other bases" in row.threshold


def test_a_study_without_control_pairs_is_judged_beside_controls_without_training() -> None:
    beside = {"word": Excess(around(0.3)), "permuted": Excess(around(0.2), 0.95)}
    row = judge_primary(PLANTED, {}, {}, beside)
    assert row.finding.verdict == "holds" and "beyond_controls" not in row.finding.parts
    assert "2 directions without training" in row.threshold


@pytest.mark.parametrize(
    ("excess", "verdict", "said"),
    [
        (Excess(around(0.02)), "fails", "The control direction `next.deduction` does as much"),
        (Excess(around(0.3), 0.5), "no test", "`next.deduction` breaks the model"),
        (Excess(NONE), "untestable", "`next.deduction` was not measured"),
    ],
)
def test_a_control_without_training_that_does_as_much_or_was_not_measured_is_told(
    excess: Excess, verdict: str, said: str
) -> None:
    beside = {"word": Excess(around(0.3)), "next.deduction": excess}
    for controls in ({}, {"shuffled": Excess(around(0.3))}):
        row = judge_primary(PLANTED, controls, {}, beside)
        assert row.finding.parts["beyond_direction_next.deduction"] == verdict
        assert row.finding.verdict == verdict and said in because(row.finding)


def test_what_was_never_measured_is_a_row_that_is_untestable() -> None:
    nothing = Effect(NONE)
    row = judge_primary(replace(PLANTED, contrast=NONE, raises=nothing, lowers=nothing), {}, {})
    assert row.finding.verdict == "untestable"
    assert row.finding.estimate is row.finding.p is row.finding.null is None


def test_the_bound_and_p_of_an_effect_follow_its_sign() -> None:
    random = {"random": tuple((np.arange(-19, 20) / 100).tolist())}
    up, down = Effect(around(0.19), random), Effect(around(-0.19), random, -1)
    assert up.bound is not None and down.bound is not None
    assert up.bound == pytest.approx(-down.bound) and up.bound > 0
    assert up.p == down.p == 2 / 40
    assert Effect(around(-0.19), random).p == 1


def test_a_model_that_the_arm_breaks_is_no_test_and_neither_is_exceeding_it() -> None:
    """A control pair that fails because nothing that may stand there is left says nothing."""
    broken = replace(PLANTED.raises, legal=0.43)
    row = judge_primary(replace(PLANTED, raises=broken), {"shuffled": Excess(around(0.3))}, {})
    assert row.finding.verdict == "no test" and row.finding.legal == 0.43
    row = judge_primary(PLANTED, {"shuffled": Excess(around(0.3), legal=0.5)}, {})
    assert row.finding.parts["beyond_control_shuffled"] == row.finding.verdict == "no test"
    kept = replace(PLANTED.raises, legal=0.9)
    row = judge_primary(replace(PLANTED, raises=kept), {"shuffled": Excess(around(0.3), 0.9)}, {})
    assert row.finding.verdict == "holds"
    assert judge_causal(replace(PLANTED, raises=broken)).finding.verdict == "no test"


def test_every_null_has_to_be_beaten_and_is_printed_with_its_size() -> None:
    nulls = RANDOM | {"covariance": tuple(np.linspace(-0.5, 0.5, 399).tolist())}
    row = judge_primary(
        replace(PLANTED, raises=Effect(around(0.4), nulls)), {"shuffled": Excess(around(0.3))}, {}
    )
    assert row.finding.parts["beyond_random"] == "holds"
    assert row.finding.parts["beyond_covariance"] == row.finding.verdict == "fails"
    assert {name: bar.k for name, bar in row.finding.nulls.items()} == {
        "random": 39, "covariance": 399,
    }  # fmt: skip
    assert row.finding.p == max(bar.p for bar in row.finding.nulls.values())
    assert "39 random, 399 covariance" in row.threshold


def test_a_null_that_stands_beside_is_told_and_does_not_count() -> None:
    beside = {"sign_flipped": tuple(np.linspace(-0.9, 0.9, 399).tolist())}
    effect = Effect(around(0.4), RANDOM, beside=beside)
    row = judge_primary(replace(PLANTED, raises=effect), {"shuffled": Excess(around(0.3))}, {})
    assert row.finding.verdict == "holds" and "beyond_sign_flipped" not in row.finding.parts
    assert row.finding.nulls["sign_flipped"].p > 0.1 > (row.finding.p or 1)
    assert "sign" not in row.threshold


def test_a_null_that_is_beaten_by_little_is_no_effect() -> None:
    """Where what is to be caused is rare, any null is beaten: the floor is absolute."""
    tiny = Effect(around(0.017, half=0.002), {"isotropic": (0.0,) * 399})
    assert tiny.verdict == "holds"
    row = judge_primary(replace(PLANTED, raises=tiny), {"shuffled": Excess(around(0.3))}, {})
    assert row.finding.parts["reaches_floor"] == row.finding.verdict == "fails"


def test_a_pair_to_which_the_base_transfers_is_no_control_that_has_to_be_exceeded() -> None:
    known = Known({"shuffled": ("transfer",)}, {"repurposed": ("transfer",), "alien": ("causal",)})
    pairs = {"repurposed": "base", "shuffled": "base", "alien": "alien-base"}
    assert list(known.negative(pairs)) == ["shuffled", "alien"]
    row = known.mark(judge_causal(PLANTED, "transfer"), "repurposed")
    assert row.must_hold and not row.must_fail
    assert known.mark(row, "shuffled").must_fail
