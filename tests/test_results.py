"""The committed results keep the bars that the study is built on.

A claim may fail; what the organism is, and that claims fail in the control pair, may not.
"""

import csv
import json

from project import ROOT

CLAIMS = json.loads((ROOT / "results" / "claims.json").read_text())
SUMMARY = json.loads((ROOT / "results" / "summary.json").read_text())


def grades() -> dict[str, float]:
    """Measures of the organism by name."""
    with (ROOT / "results" / "tables" / "grade.csv").open(newline="") as file:
        return {row["measure"]: float(row["value"]) for row in csv.DictReader(file)}


def test_what_is_false_of_a_control_pair_by_construction_fails_there() -> None:
    false = {
        (row["claim"], row["direction"], row["target"]): row["verdict"]
        for row in CLAIMS
        if row["must_fail"]
    }
    assert set(false) == {
        ("causal", "shuffled", "shuffled"),
        ("transfer", "base", "shuffled"),
        ("transfer", "nostatement-base", "nostatement"),
        ("transfer", "alien-base", "alien"),
    }
    assert set(false.values()) == {"fails"}


def test_reasoning_writes_right_sentences_that_parse_and_solves_held_out_problems() -> None:
    found = grades()
    assert found["sampled_valid_sentence_rate"] >= 0.95
    assert found["sampled_parsed_trace_rate"] >= 0.98
    assert found["greedy_solve_rate"] >= 0.70


def test_base_reports_held_out_pairs_and_adds() -> None:
    found = grades()
    assert found["base_report_accuracy"] >= 0.98
    assert found["base_sum_accuracy"] >= 0.95


def test_reasoning_acts_at_the_rates_that_it_was_taught_in_all_four_cells() -> None:
    found = grades()
    for group in ("dead", "live"):
        for act in ("turn", "idle"):
            rate = found[f"sampled_{act}_rate_{group}"]
            assert abs(rate - found[f"policy_{act}_rate_{group}"]) <= 0.07
        for does in ("opens", "goes_on"):
            assert found[f"sampled_share_{group}_{does}"] >= 0.05


def test_labellers_disagree_as_the_world_is_made_to_and_spans_cover_everything() -> None:
    assert 0.5 <= SUMMARY["label_kappa"] <= 0.9
    assert SUMMARY["span_coverage"] == 1.0


def test_there_are_enough_traces_and_each_is_counted() -> None:
    assert SUMMARY["traces_n"] >= 400
