"""Studies in which something never occurs run whole, and what cannot be judged is untestable."""

from pathlib import Path

import pytest
import rare_studies
from rare_studies import RARE, STAGES
from tiny_study import TinyStudy

from backtracking.records.rows.belief import BeliefEvidence
from backtracking.records.rows.table import read_rows
from lifeboat.stage import artifacts, failures

pytestmark = pytest.mark.kind(3)

ALARM = "A probe tells more than its prefix holds"
"""What ten problems and an untrained model set off by chance; a study stops there on purpose."""


@pytest.fixture(scope="module")
def whole() -> TinyStudy:
    return rare_studies.whole()


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE)
def test_a_study_in_which_something_never_occurs_runs_whole(
    name: str, whole: TinyStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = rare_studies.write_rare(tmp_path, name, whole)
    for stage in STAGES:
        try:
            rare_studies.run_stages(workspace, [stage])
        except SystemExit:
            said = capsys.readouterr().err
            assert stage == "probe" and ALARM in said, f"{stage}: {said}"
    assert not (tmp_path / failures.LOG).exists(), (tmp_path / failures.LOG).read_text()
    claims = artifacts.read_json(tmp_path / "results" / "claims.json")
    assert claims
    if "no point with a donor" in name or "no live test point" in name:
        found = read_rows(BeliefEvidence, tmp_path / "results")
        assert {row.finding.verdict for row in found} == {"untestable"}
    if name in ("no backtracking", "no trace with a sentence"):
        steered = [one for one in claims if one["claim"] == "primary"]
        assert [(one["verdict"], one["why"]) for one in steered] == [
            ("untestable", "nothing was steered")
        ]
