"""Free text, steered: P(backtracking) by writing on, with openers that are frozen on dev."""

import numpy as np
import pytest
import real_tokenizers
from free_study import DRAWN, P_OPENED, P_TURNED, write_free_workspace

from backtracking.models.tokens import token_ids
from backtracking.records import reader
from backtracking.records.drawn import FOLDER, N_DRAWS, N_OPENED_TURNED, N_TURNED, read_drawn
from backtracking.records.measured import BASELINE, P_BACK, P_OPEN, read_all_measured
from backtracking.records.openers import read_openers
from backtracking.records.prompted import Prompted, write_prompted
from backtracking.records.traces import Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages import effects, steer
from lifeboat.stage import artifacts

pytestmark = pytest.mark.slow


def run(workspace: Workspace) -> None:
    """Both stages."""
    for stage in (steer, effects):
        stage.main(["--root", str(workspace.root)])


def table(workspace: Workspace, name: str) -> list[dict]:
    return artifacts.read_json(workspace.results("effects") / f"{name}.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = write_free_workspace(tmp_path_factory.mktemp("free"))
    traces = reader.read_lines(Trace, workspace.traces / "traces.jsonl")
    asked = token_ids(" Check every step.", real_tokenizers.smollm2())
    test = [one for one in traces if one.split == "test"]
    prompts = [Prompted(one.problem_id, [*one.prompt_ids, *asked]) for one in test]
    write_prompted(workspace.labels, prompts)
    run(workspace)
    return workspace


def test_openers_are_frozen_on_dev_and_what_they_cover_is_told(whole: Workspace) -> None:
    """ "Hold" is not kept: one in five sentences that it begins is backtracking."""
    found = read_openers(whole.results("steer"))
    assert found is not None and (found.role, found.labeller) == ("reasoning", "rules")
    counts = {one.name: one for one in found.counts}
    assert set(found.kept) == {"wait", "but wait"}
    assert 0 < counts["hold"].n_turned < 0.5 * counts["hold"].n
    assert counts["wait"].n_turned == counts["wait"].n and counts["actually"].n == 0
    assert found.n == DRAWN["n"] * found.n_decisions
    for share, p, n in (
        (found.n_turned / found.n, P_TURNED, found.n),
        (found.coverage, P_OPENED / P_TURNED, found.n_turned),
    ):
        assert share is not None and abs(share - p) < 4 * (p * (1 - p) / n) ** 0.5


def test_p_open_is_that_of_all_spellings_and_the_draws_turn_as_often_as_they_should(
    whole: Workspace,
) -> None:
    folder = whole.results("steer")
    measured = {(one.run, one.target): one for one in read_all_measured(folder / "measured")}
    for one in read_drawn(folder / FOLDER):
        counts, whole_run = one.counts, measured[one.counts.run, one.counts.target]
        assert counts.arms[0].group == BASELINE and set(counts.arms) <= set(whole_run.arms)
        # Where the deciding token is a new line, half of what follows is "Wait".
        found = whole_run.values(P_OPEN)[0]
        assert np.minimum(np.abs(found - P_OPENED), np.abs(found - 0.5)).max() < 0.02
        assert np.isnan(whole_run.values(P_BACK)).all()
        n, turned = counts.values(N_DRAWS)[0].sum(), counts.values(N_TURNED)[0].sum()
        assert n == DRAWN["n"] * len(counts.decisions)
        assert abs(turned - n * P_TURNED) < 5 * (n * P_TURNED * (1 - P_TURNED)) ** 0.5
        for arm in range(len(counts.arms)):
            p_open = whole_run.values(P_OPEN)[whole_run.arms.index(counts.arms[arm])]
            columns = [whole_run.decisions.index(name) for name in counts.decisions]
            drawn = ~np.isnan(counts.values(N_DRAWS)[arm])
            p, n = p_open[columns][drawn], counts.values(N_DRAWS)[arm][drawn]
            opened = counts.values(N_OPENED_TURNED)[arm][drawn].sum()
            assert abs(opened - (p * n).sum()) < 5 * max(1, (p * (1 - p) * n).sum()) ** 0.5


def test_claims_rest_on_the_draws_and_every_arm_is_calibrated(whole: Workspace) -> None:
    openers = artifacts.read_json(whole.results("effects") / "steer" / "openers.json")
    assert openers["is_usable"] and openers["coverage_test"]["n"] == 3
    shares, lines = table(whole, "steer/drawn"), table(whole, "steer/calibration")
    arms = {(row["run"], row["target"], row["direction"], row["dose"]) for row in shares}
    assert arms == {(r["run"], r["target"], r["direction"], r["dose"]) for r in lines}
    assert {"affine", "nulls-base", "nulls-reasoning", "test"} <= {row["run"] for row in shares}
    for row in shares:
        assert row["n_draws"] == DRAWN["n"] * row["n_decisions"]
        if row["direction"] == "baseline":
            assert row["effect"]["value"] == 0 and abs(row["value"] - P_TURNED) < 0.35
    by_run = {(row["edit"], row["dose"]): row["endpoint"] for row in table(whole, "steer/forced")}
    assert by_run["set_projection", 1.0] == "P_back" and by_run["add", 1.0] == "P_open"
    judged = table(whole, "steer/evidence")
    assert [row["claim"] for row in judged] == ["primary", "causal", "transfer", "prompting"]
    # The law knows no prompt, and both runs draw by the same numbers.
    assert (judged[-1]["estimate"], judged[-1]["verdict"]) == (0, "fails")
    assert "prompted" in {row["run"] for row in shares}
    assert {row["run"] for row in table(whole, "steer/remarks")} >= {"affine", "test"}


def test_an_arm_that_breaks_the_model_is_no_test_in_free_text(whole: Workspace) -> None:
    """P_fluent stands for P_legal: the vocabulary has more tokens than the usual ones."""
    rows = [row for row in table(whole, "steer/forced") if row["direction"] != "baseline"]
    assert {row["test"] for row in rows if row["legal"] < 0.9} <= {"no test"}
    assert {row["test"] for row in rows if row["legal"] >= 0.9} <= {""}
    assert all(row["legal"] is not None for row in rows)


def test_vectors_were_added_at_as_many_tokens_as_the_rule_fired(whole: Workspace) -> None:
    found = artifacts.read_json(whole.results("steer") / "rollouts" / "steered.json")["by_file"]
    assert any(sum(counts) > 0 for counts in found.values())
    assert sum(found["reasoning.baseline.jsonl"]) == 0
