"""Claims of Ward and Venhoff, on planted tables."""

from typing import Any

import pytest
from synthetic_results import study_with

from backtracking.claims.literature import venhoff, ward
from backtracking.records.rows.directions import Likeness, PairCosine


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


def cell(source: str, target: str, verdict: str, kind: str = "alive") -> dict[str, Any]:
    numbers = {"value": 0.3, "low": 0.2, "high": 0.4, "n": 70, "random_bound": 0.1, "p": 0.025}
    return {"source": source, "target": target, "kind": kind, "verdict": verdict} | numbers


@pytest.mark.parametrize(
    ("found", "expected"),
    [("holds", "fails"), ("fails", "holds"), ("no test", "untestable")],
)
def test_a_base_that_stays_is_evidence_only_with_a_positive_control(
    found: str, expected: str
) -> None:
    row = ward.claims(study_with(effects__steer__transfer=[cell("base", "base", found)]))[2]
    assert (row["claim"], row["verdict"]) == ("ward_base_unmoved", expected)
    assert ("positive control" in row["why"]) == (found == "no test")


def test_an_arm_and_its_control_pairs_cell_stand_in_one_row() -> None:
    arm = {"direction": "reasoning.venhoff", "kind": "alive", "dose": 1.0, "n": 70}
    arm |= {"effect_value": 0.4, "effect_low": 0.3, "effect_high": 0.5}
    arm |= {"beyond_random": "holds", "random_bound": 0.1, "random_p": 0.025}
    transfer = [cell("shuffled", "shuffled", "fails")]
    row = venhoff.claims(study_with(effects__steer__arms=[arm], effects__steer__transfer=transfer))[
        0
    ]
    assert (row["estimate"], row["verdict"], row["null"]) == (0.4, "holds", 0.1)
    assert row["by_control"]["shuffled"]["verdict"] == "fails"


def rank(layer: int, percentile: float) -> dict[str, Any]:
    place = {"role": "base", "form": "ward", "layer": layer}
    read = {"unembedding": "reasoning", "marker": "Wait", "final_norm": True, "variant": "whole"}
    return place | read | {"percentile": percentile, "random95": 0.95, "p": 0.5, "rank": 3}


@pytest.mark.parametrize(("percentile", "verdict"), [(0.5, "holds"), (0.99, "fails")])
def test_a_direction_that_decodes_to_the_word_is_seen(percentile: float, verdict: str) -> None:
    rows = [rank(1, 0.2), rank(2, percentile)]
    row = ward.claims(study_with(effects__lens__ranks=rows))[3]
    assert (row["claim"], row["estimate"], row["verdict"]) == (
        "ward_not_the_word", percentile, verdict,
    )  # fmt: skip


def test_what_was_not_run_is_untestable_with_its_reason() -> None:
    for row in [*ward.claims(study_with()), *venhoff.claims(study_with())]:
        assert row["verdict"] == "untestable" and row["why"]
