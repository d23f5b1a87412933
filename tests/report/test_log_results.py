import json
from pathlib import Path

from backtracking.report import log_results

CLAIM = {"direction": "base", "target": "reasoning", "verdict": "holds"}
CLAIM |= {"estimate": 0.5, "low": 0.25, "high": 0.75}


def test_the_primary_claim_comes_first_and_then_each_stage_in_a_line(tmp_path: Path) -> None:
    assert log_results.lines(tmp_path) == []
    (tmp_path / "results").mkdir()
    claims = [CLAIM | {"n": 40, "p": 0.01, "parts": {"dose": "fails"}}, CLAIM]
    summary = {"probe_auroc": 0.9, "probe_n": 3, "steer_effect": 0.2}
    for name, value in (("claims", claims), ("summary", summary)):
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(value))
    assert log_results.lines(tmp_path) == [
        "Primary claim (base -> reasoning): **holds** (dose), +0.500 (+0.250 to +0.750, n = 40), "
        "p = 0.01",
        "probe: auroc 0.9, n 3",
        "steer: effect 0.2",
    ]
