"""Claims of Ward and Venhoff, on planted tables."""

import pytest
from synthetic_results import study_with

from backtracking.claims.literature import venhoff, ward
from backtracking.effects.seen import NO_INTERVAL
from backtracking.records.decoded import Rank
from backtracking.records.intervals import Bar, Interval
from backtracking.records.rows.arms import ArmKey, Compared, Forced
from backtracking.records.rows.directions import Likeness, PairCosine
from backtracking.records.rows.measures import MarkerRank


def cosine(pair: str, layer: int, value: float) -> PairCosine:
    found = Likeness(value, value - 0.05, value + 0.05, 90, value, -0.1, 0.1, 0.0)
    return PairCosine(pair, "ward", "-13:-8", layer, found)


def cosines(pair: float, control: float) -> list[PairCosine]:
    return [
        cosine(name, layer, value + off)
        for layer, off in ((1, -0.5), (2, 0.0))
        for name, value in (("base-reasoning", pair), ("base-shuffled", control))
    ]


@pytest.mark.parametrize(("control", "verdict"), [(0.2, "holds"), (0.72, "fails"), (0.9, "fails")])
def test_a_high_cosine_is_no_evidence_where_a_control_pair_has_it_too(
    control: float, verdict: str
) -> None:
    row = ward.claims(study_with(*cosines(0.74, control)))[0]
    assert (row.question.claim, row.finding.verdict, row.finding.estimate) == (
        "ward_alike", verdict, 0.74,
    )  # fmt: skip
    assert row.by_control["shuffled"].estimate == control
    assert row.agreement == "agrees"


def arm(target: str, direction: str, effect: float) -> Compared:
    key = ArmKey(target, direction, 1.0, "decision")
    ends = Interval(effect, effect - 0.1, effect + 0.1, 70)
    forced = Forced(key, "alive", "P_back", NO_INTERVAL, ends, 9, 0.95)
    return Compared(None, forced, {"random": Bar(39, 0.1, 0.025)}, "holds")


def test_a_row_compares_one_form_with_the_same_form_or_with_nothing() -> None:
    """Matched directions of the control pairs are another thing than Ward's or Venhoff's form."""
    matched = arm("shuffled", "shuffled", -0.3)
    row = venhoff.claims(study_with(arm("reasoning", "reasoning.venhoff", 0.4), matched))[0]
    assert (row.finding.estimate, row.finding.verdict, row.finding.null) == (0.4, "holds", 0.1)
    assert row.finding.pair == "reasoning.venhoff -> reasoning" and row.finding.legal == 0.95
    beside = row.by_control["shuffled"]
    assert (beside.verdict, beside.estimate) == ("untestable", None)
    same = arm("shuffled", "shuffled.venhoff", 0.1)
    row = venhoff.claims(study_with(arm("reasoning", "reasoning.venhoff", 0.4), same))[0]
    assert row.by_control["shuffled"].estimate == 0.1
    assert row.by_control["shuffled"].direction == "shuffled.venhoff"


def rank(layer: int, percentile: float) -> MarkerRank:
    place = ("base", "ward", "0:0", layer, None, None)
    found = Rank("Wait", 3.0, percentile, 0.0)
    return MarkerRank(*place, "reasoning", True, "whole", 1.0, found, 0.95, 39, 0.5)


@pytest.mark.parametrize(("percentile", "verdict"), [(0.5, "holds"), (0.99, "fails")])
def test_a_direction_that_decodes_to_the_word_is_seen(percentile: float, verdict: str) -> None:
    row = ward.claims(study_with(rank(1, 0.2), rank(2, percentile)))[2]
    assert (row.question.claim, row.finding.estimate, row.finding.verdict) == (
        "ward_not_the_word", percentile, verdict,
    )  # fmt: skip


def test_what_was_not_run_is_untestable_with_its_reason() -> None:
    for row in [*ward.claims(study_with()), *venhoff.claims(study_with())]:
        assert row.finding.verdict == "untestable" and row.finding.why
