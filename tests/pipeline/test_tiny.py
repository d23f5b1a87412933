"""What the tiny study ends in."""

from pathlib import Path

import pytest

from lifeboat.stage import artifacts

pytestmark = pytest.mark.slow

CONTROLS = {"shuffled": "base", "nostatement": "nostatement-base", "alien": "alien-base"}


def test_summary_has_the_names_that_branches_are_compared_by(project: Path) -> None:
    summary = artifacts.read_json(project / "results" / "summary.json")
    names = {
        "grade_solve_rate", "grade_valid_sentence_rate", "base_report_accuracy",
        "label_kappa", "span_coverage", "selection_layer", "directions_split_half_cosine",
        "directions_base_reasoning_cosine", "directions_base_shuffled_cosine",
        "directions_nostatement_base_nostatement_cosine", "directions_alien_base_alien_cosine",
        "steer_agreement_elsewhere", "steer_primary_effect", "steer_primary_holds",
    }  # fmt: skip
    for kind in ("alive", "over"):
        names |= {
            f"steer_p_backtrack_{kind}_{arm}" for arm in ("baseline", "own", "base", "random95")
        }
    assert names <= set(summary)
    assert not any(isinstance(value, dict | list) for value in summary.values())
    assert not any("sha256" in name or "version" in name for name in summary)
    assert {"params_sha256", "model_base_sha256", "device"} <= set(
        artifacts.read_json(project / "results" / "provenance.json")
    )


def test_claims_give_every_pair_its_verdict(project: Path) -> None:
    claims = artifacts.read_json(project / "results" / "claims.json")
    named = {(row["claim"], row["direction"], row["target"]) for row in claims}
    assert len(named) == len(claims)
    assert named >= {
        ("primary", "base", "reasoning"),
        ("causal", "reasoning", "reasoning"),
        ("transfer", "base", "reasoning"),
        *(("causal", role, role) for role in CONTROLS),
        *(("transfer", base, role) for role, base in CONTROLS.items()),
    }
    studies = {row["study"].split(",")[0] for row in claims}
    assert studies >= {
        "this study",
        "Ward",
        "Venhoff",
        "component ablation",
        "SLDS",
        "Phua",
        "stability",
    }
    assert all(set(row["by_control"]) == set(CONTROLS) for row in claims)
    must_fail = {
        (row["claim"], row["direction"], row["target"]) for row in claims if row["must_fail"]
    }
    assert must_fail == {
        ("causal", "shuffled", "shuffled"),
        ("transfer", "base", "shuffled"),
        ("transfer", "nostatement-base", "nostatement"),
        ("transfer", "alien-base", "alien"),
    }
    assert {row["verdict"] for row in claims} <= {"holds", "fails", "no test", "untestable"}
