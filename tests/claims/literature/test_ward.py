"""Claims of Ward and Venhoff, on planted tables."""

from typing import Any

import pytest
from synthetic_results import study_with

from backtracking.claims.literature import venhoff, ward
from backtracking.effects.seen import NO_INTERVAL
from backtracking.records.decoded import Rank
from backtracking.records.intervals import Interval
from backtracking.records.rows.arms import ArmKey, Compared, Forced, Tested
from backtracking.records.rows.measures import MarkerRank
from backtracking.records.rows.steering import Cell


def cosines(pair: float, control: float) -> list[dict[str, Any]]:
    return [
        {"pair": name, "form": "ward", "layer": layer, "cosine": value, "n": 90}
        | {"low": value - 0.05, "high": value + 0.05, "null_high": 0.1}
        for layer, off in ((1, -0.5), (2, 0.0))
        for name, value in (("base-reasoning", pair + off), ("base-shuffled", control + off))
    ]


@pytest.mark.parametrize(("control", "verdict"), [(0.2, "holds"), (0.72, "fails"), (0.9, "fails")])
def test_a_high_cosine_is_no_evidence_where_a_control_pair_has_it_too(
    control: float, verdict: str
) -> None:
    row = ward.claims(study_with(directions__cosines=cosines(0.74, control)))[0]
    assert (row.question.claim, row.finding.verdict, row.finding.estimate) == (
        "ward_alike",
        verdict,
        0.74,
    )
    assert row.by_control["shuffled"].estimate == control
    assert row.agreement == "agrees"


def cell(source: str, target: str, verdict: Tested) -> Cell:
    effect = Interval(0.3, 0.2, 0.4, 70)
    return Cell(source, target, "alive", 1.0, effect, 0.1, 0.025, None, verdict)


@pytest.mark.parametrize(
    ("found", "expected"),
    [("holds", "fails"), ("fails", "holds"), ("no test", "untestable")],
)
def test_a_base_that_stays_is_evidence_only_with_a_positive_control(
    found: Tested, expected: str
) -> None:
    row = ward.claims(study_with(cell("base", "base", found)))[2]
    assert (row.question.claim, row.finding.verdict) == ("ward_base_unmoved", expected)
    assert ("positive control" in row.finding.why) == (found == "no test")


def test_an_arm_and_its_control_pairs_cell_stand_in_one_row() -> None:
    key = ArmKey("reasoning", "reasoning.venhoff", 1.0, "decision")
    forced = Forced(key, "alive", NO_INTERVAL, Interval(0.4, 0.3, 0.5, 70), 9)
    arm = Compared("form", None, forced, 0.1, 0.025, "holds", None, None, None)
    row = venhoff.claims(study_with(arm, cell("shuffled", "shuffled", "fails")))[0]
    assert (row.finding.estimate, row.finding.verdict, row.finding.null) == (0.4, "holds", 0.1)
    assert row.by_control["shuffled"].verdict == "fails"


def rank(layer: int, percentile: float) -> MarkerRank:
    place = ("base", "ward", "0:0", layer, None, None)
    found = Rank("Wait", 3.0, percentile, 0.0)
    return MarkerRank(*place, "reasoning", True, "whole", 1.0, found, 0.95, 39, 0.5)


@pytest.mark.parametrize(("percentile", "verdict"), [(0.5, "holds"), (0.99, "fails")])
def test_a_direction_that_decodes_to_the_word_is_seen(percentile: float, verdict: str) -> None:
    row = ward.claims(study_with(rank(1, 0.2), rank(2, percentile)))[3]
    assert (row.question.claim, row.finding.estimate, row.finding.verdict) == (
        "ward_not_the_word", percentile, verdict,
    )  # fmt: skip


def test_what_was_not_run_is_untestable_with_its_reason() -> None:
    for row in [*ward.claims(study_with()), *venhoff.claims(study_with())]:
        assert row.finding.verdict == "untestable" and row.finding.why
