"""Steering untrained models, and what `effects` makes of it: whole, resumed, without truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from steered_study import WINDOWS, write_steered
from tiny_study import PAIR, PAIR_AND_CONTROL, TinyStudy, write_study

from backtracking.directions.nulls import PROVIDERS
from backtracking.domains.sets.lines import Line, Lines
from backtracking.interventions import measure
from backtracking.records import reader
from backtracking.records.choices import read_choice, read_repeats
from backtracking.records.measured import read_all_measured
from backtracking.records.rollouts import read_rollouts
from backtracking.runtime.workspace import Role, Workspace
from backtracking.stages import effects, label, steer
from lifeboat.stage import artifacts

REPEATED = PAIR_AND_CONTROL | {
    "base-2": Role("data/raw/problems", None, "base"),
    "reasoning-2": Role("models/base-2", "base-2", "reasoning"),
}
KINDS = ("over", "exhausted", "doomed", "alive")


def run(workspace: Workspace) -> None:
    """Both stages."""
    for stage in (steer, effects):
        stage.main(["--root", str(workspace.root)])


def table(workspace: Workspace, name: str) -> list[dict]:
    path = name if "/" in name else f"steer/{name}"
    return artifacts.read_json(workspace.results("effects") / f"{path}.json")


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(12, splits=("test", "train", "dev"))


@pytest.fixture(scope="module")
def whole(study: TinyStudy, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A study with a control pair and a further pair."""
    workspace = write_steered(tmp_path_factory.mktemp("whole"), study, REPEATED)
    run(workspace)
    return workspace


def test_a_place_is_chosen_on_dev_for_every_pair(whole: Workspace) -> None:
    folder = whole.results("steer")
    own, (repeat,) = read_choice(folder), read_repeats(folder)
    assert (own.model, own.base) == ("reasoning", "base")
    assert (repeat.model, repeat.base) == ("reasoning-2", "base-2")
    for choice in (own, repeat):
        assert len(choice.grid) == 4
        best = max(choice.grid, key=lambda one: one.excess)
        assert (choice.layer, choice.window, choice.norm) == (best.layer, best.window, best.norm)
    assert {one.role for one in own.scales} == {"base", "reasoning", "shuffled"}
    # Norms of the residual stream differ by window: those of the place that is steered count.
    expected = 2.0 + WINDOWS.index(own.window)
    assert {one.residual_norm for one in own.scales} == {expected}


def test_every_run_is_a_file_of_arrays_and_none_has_an_interval(whole: Workspace) -> None:
    found = read_all_measured(whole.results("steer") / "measured")
    runs = {(one.run, one.target) for one in found}
    assert {("test", role) for role in ("base", "reasoning", "shuffled")} <= runs
    assert {("reasoning-2", role) for role in ("reasoning-2", "shuffled")} <= runs
    assert {("without-markers", role) for role in ("reasoning", "shuffled")} <= runs
    assert {("asked-live", "base"), ("asked-dead", "base")} <= runs
    for target, before in (("reasoning", ""), ("reasoning-2", "reasoning-2-")):
        assert {(f"{before}{run}", target) for run in ("patched", "patched-back")} <= runs
    assert {("dev", "reasoning"), ("further", "reasoning"), ("necessity", "reasoning")} <= runs
    for one in found:
        assert one.arms[0].group == "baseline" and len(set(one.arms)) == len(one.arms)
    (test,) = (one for one in found if (one.run, one.target) == ("test", "reasoning"))
    (more,) = (one for one in found if (one.run, one.target) == ("further", "reasoning"))
    first = [one.values("p_open")[0] for one in (test, more)]
    np.testing.assert_allclose(*first, atol=1e-6)
    assert "base-2" in {arm.name for arm in test.arms}


def test_rollouts_are_traces_and_arms_that_do_nothing_write_the_same(
    whole: Workspace, study: TinyStudy
) -> None:
    found = read_rollouts(whole.results("steer") / "rollouts")
    assert {one.target for one in found} == {"reasoning"}
    tests = {one.problem_id for one in study.problems if one.split == "test"}
    for one in found:
        assert {trace.problem_id for trace in one.traces} == tests
        assert (one.nll is not None) == (one.target == "reasoning")
        for trace, nll in zip(one.traces, one.nll or (), strict=False):
            assert len(nll) == len(trace.token_ids)
    own = [one for one in found if one.target == "reasoning"]
    assert own[0].arms == () and {one.group for one in own[1:]} == {"matched", "action", "random"}


def test_every_table_has_its_rows(whole: Workspace) -> None:
    assert [row["kind"] for row in table(whole, "forced") if row["direction"] == "baseline"][
        :4
    ] == list(KINDS)
    cells = {(row["source"], row["target"]) for row in table(whole, "transfer")}
    assert cells == {
        (source, target)
        for target, sources in {
            "base": ("base", "reasoning", "shuffled"),
            "reasoning": ("base", "reasoning", "shuffled", "base-2"),
            "shuffled": ("base", "reasoning", "shuffled"),
        }.items()
        for source in sources
    }
    controls = {(row["target"], row["control"] is not None) for row in table(whole, "transfer")}
    assert controls == {("base", True), ("reasoning", False), ("shuffled", False)}
    groups = {row["group"] for row in table(whole, "arms")}
    assert groups == {
        "matched", "action", "form", "mean", "state", "shuffled_labels",
    }  # fmt: skip
    assert {row["role"] for row in table(whole, "magnitudes")} == {"base", "reasoning", "shuffled"}
    assert {row["target"] for row in table(whole, "free")} == {"reasoning"}
    names = {row["direction"] for row in table(whole, "necessity")}
    assert {"base", "action", "reasoning.ward", "mean"} <= names
    assert {row["must_fail"] for row in table(whole, "evidence")} == {True, False}
    ceilings = {(row["kind"], row["dose"]) for row in table(whole, "ceiling")}
    assert ceilings == {("alive", 1.0), ("over", -1.0)}
    for name in ("elsewhere", "untested", "arms_elsewhere", "doses", "signs", "reports"):
        assert table(whole, name)


def test_every_pair_is_steered_along_both_directions_and_action_whole_and_projected(
    whole: Workspace,
) -> None:
    rows = table(whole, "markerless/projected")
    assert {(row["target"], row["direction"]) for row in rows} == {
        (target, name)
        for target in ("reasoning", "shuffled")
        for name in ("base", target, "action")
    }
    for row in rows:
        assert 0 <= row["cosine"] <= 1 + 1e-6 and row["n_random"] == 3
        difference = row["projected"]["value"] - row["original"]["value"]
        assert row["difference"]["value"] == pytest.approx(difference)
    directions = [row["direction"] for row in table(whole, "markerless/forced")]
    assert directions[:3] == ["baseline", "base", "base without markers"]
    judged = table(whole, "markerless/evidence")
    assert [(row["direction"], row["target"]) for row in judged] == [
        ("base", "reasoning"), ("reasoning", "reasoning"),
        ("base", "shuffled"), ("shuffled", "shuffled"),
    ]  # fmt: skip


def test_every_pair_has_a_row_for_every_claim_and_the_counts_are_theirs(whole: Workspace) -> None:
    claims, counts = table(whole, "pairs/claims"), table(whole, "pairs/counts")
    names = ["primary", "causal", "transfer"]
    assert [(row["number"], row["claim"]) for row in claims] == [
        (number, claim) for number in (1, 2) for claim in names
    ]
    primary = [row for row in claims if row["claim"] == "primary"]
    others = [{"beyond_base_base-2"}, {"beyond_base_base"}]
    for row, other in zip(primary, others, strict=True):
        nulls = {f"beyond_{name}" for name in PROVIDERS}
        compared = {"off_0", *nulls, "beyond_control_shuffled"} | other
        expected = (compared if row["legal"] >= 0.9 else {"legal"}) | {"reaches_floor"}
        assert set(row["parts"]) == expected and set(row["nulls"]) == set(PROVIDERS)
    for count in counts:
        verdicts = [row["verdict"] for row in claims if row["claim"] == count["claim"]]
        assert count["n_pairs"] == len(verdicts) == 2
        assert count["n_holds"] == verdicts.count("holds")
    assert [row["number"] for row in table(whole, "pairs/selection")] == [1, 2]
    assert {row["resampled"] for row in claims} == {"test and train problems"}


def test_a_run_that_was_killed_goes_on_and_does_no_part_twice(
    study: TinyStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = write_steered(tmp_path, study, PAIR)
    calls: list[int] = []
    at_decisions = measure._at_decisions

    def counting(*args, **kwargs):  # noqa: ANN202
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return at_decisions(*args, **kwargs)

    monkeypatch.setattr(measure, "_at_decisions", counting)
    with pytest.raises(KeyboardInterrupt):
        steer.main(["--root", str(tmp_path)])
    assert not workspace.results("steer").exists()
    steer.main(["--root", str(tmp_path)])
    found = read_all_measured(workspace.results("steer") / "measured")
    forced = [one for one in found if "p_open" in one.arrays]
    assert len(calls) == len(forced) + 1
    files = sorted(workspace.results("steer").rglob("*.*"))
    before = [path.read_bytes() for path in files if path.is_file()]
    steer.main(["--root", str(tmp_path)])
    assert len(calls) == len(forced) + 1
    assert [path.read_bytes() for path in files if path.is_file()] == before


def test_a_study_of_one_pair_runs_whole_and_its_primary_claim_does_not_hold(
    study: TinyStudy, tmp_path: Path
) -> None:
    workspace = write_steered(tmp_path, study, PAIR)
    run(workspace)
    primary, *_ = table(workspace, "evidence")
    assert primary["parts"]["beyond_controls"] == "untestable"
    assert primary["legal"] < 0.9 and primary["parts"]["legal"] == "no test"
    assert primary["verdict"] == "no test"
    for row in table(workspace, "pairs/counts"):
        assert (row["n_pairs"], row["low"], row["high"]) == (1, None, None)


def test_without_kinds_and_questions_rows_are_by_action_and_bases_are_no_test(
    study: TinyStudy, tmp_path: Path
) -> None:
    lines: list[dict[str, Any]] = [
        {"problem_id": t.problem_id, "split": t.split, "prompt_ids": t.prompt_ids}
        | {"token_ids": t.token_ids}
        for t in study.traces
    ]
    contrast = {"by": "action", "positive": ["turns"], "negative": ["goes on"]}
    overlay = {
        "contrast": contrast | {"strata": ["position"]},
        "label": {"primary": "rules"},
    }
    workspace = write_steered(tmp_path, study, PAIR, overlay)
    text = workspace.params.read_text()
    assert "  name: organism" in text
    text = text.replace("  name: organism", "  name: mute", 1).replace(
        "data/raw/.gitkeep", "lines.jsonl"
    )
    workspace.params.write_text(text)
    artifacts.write_jsonl(tmp_path / "lines.jsonl", lines)
    domain = Lines(tmp_path / "lines.jsonl", tuple(Line(**line) for line in lines))
    asked = label.Params("rules", "backtracking", 0)
    problems = [replace(one, answer="") for one in study.problems]
    found = label.run(asked, domain, study.traces, [], problems, study.tokenizer)
    with artifacts.new_folder(workspace.labels) as folder:
        found.write(folder)
    with artifacts.new_folder(workspace.problems) as folder:
        reader.write_lines(folder / "problems.jsonl", problems)
    run(workspace)
    forced = table(workspace, "forced")
    assert {row["kind"] for row in forced} <= {"turns", "goes on"} and forced
    verdicts = {row["verdict"] for row in table(workspace, "transfer") if row["target"] == "base"}
    assert verdicts == {"no test"}
    assert table(workspace, "reports") == []
    measures = {row["measure"] for row in table(workspace, "free")}
    assert "n_tokens" in measures and "solve_rate" not in measures
    judged = table(workspace, "evidence")
    assert [row["claim"] for row in judged] == ["primary", "causal", "transfer"]
    # Nobody knows what may stand after a decision: that is not measured, and nothing is broken. But
    # which openers turn is not known either where nothing is drawn (`steer.drawn.n` is 0).
    assert {row["legal"] for row in forced} == {None} == {row["legal"] for row in judged}
    assert {row["test"] for row in forced} | {row["verdict"] for row in judged} == {"no test"}
    assert {one.legal for one in read_choice(workspace.results("steer")).grid} == {None}
    for row in table(workspace, "necessity"):
        assert row["parts"]["report_stays"] == "untestable"


def test_norms_of_the_residual_stream_are_those_of_each_role_window_and_layer(
    tmp_path: Path,
) -> None:
    """A place in the middle of the list: neither the first nor the last row may stand for it."""
    windows = ("0:0", "-1:-1", "-3:-3")
    places = [
        (role, window, layer) for role in ("a", "b") for window in windows for layer in (0, 1)
    ]
    norms = dict(zip(places, map(float, range(1, 13)), strict=True))
    rows = [
        {"role": role, "form": form, "window": window, "layer": layer}
        | {"mean_residual_norm": norm if form == "matched" else 99.0}
        for (role, window, layer), norm in norms.items()
        for form in ("matched", "unmarked")
    ]
    folder = tmp_path / "results" / "directions"
    folder.mkdir(parents=True)
    artifacts.write_json(folder / "directions.json", rows)
    assert steer._residual_norms(Workspace(tmp_path)) == norms
