import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from completion_server import completing
from project import ROOT
from tiny_models import save_model
from tiny_study import PAIR, write_study, write_workspace

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.served import Server
from backtracking.records import reader
from backtracking.records.traces import Problem, Trace
from backtracking.runtime.workspace import Workspace
from backtracking.stages import traces as stage
from backtracking.stages.traces import Params, Result, run
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Units

PARAMS = Params(2, 1.0, 12, 4, 2, 0, 1, "cpu", "float32")
PROBLEMS = [
    Problem(f"p{n}", "test", "study" if n < 3 else "held-out-size", f"w{n} w{n + 1} .", "")
    for n in range(4)
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny random model."""
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


def write(loaded: LoadedModel, root: Path, params: Params = PARAMS) -> Result:
    """What the model writes, with the store of a project."""
    prompts = [loaded.tokenizer(problem.prompt).input_ids for problem in PROBLEMS]
    return run(params, loaded, PROBLEMS, prompts, Units(root, ("backtracking",)))


def units_of(root: Path) -> set[str]:
    """The units of traces."""
    return {path.name for path in (root / ".cache/store/data/interim/traces").glob("[0-9a-f]*")}


def test_every_rollout_is_kept_with_its_ids_reason_and_settings(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    result = write(loaded, tmp_path)
    assert [trace.trace_id for trace in result.sampled] == [
        f"p{n}/{sample}" for n in range(3) for sample in range(2)
    ]
    assert [trace.problem_id for trace in result.greedy] == ["p0", "p1", "p2", "p3"]
    for trace in (*result.sampled, *result.greedy):
        assert (
            trace.prompt_ids
            == loaded.tokenizer(PROBLEMS[int(trace.problem_id[1])].prompt).input_ids
        )
        assert 1 <= len(trace.token_ids) <= 12
        assert (trace.finish_reason == "length") == (trace.token_ids[-1] != 2)
    assert result.greedy[0].sampling == {"seed": 0, "temperature": 0.0, "max_new_tokens": 12}


def test_counts_of_endings_are_those_of_all_sampled_traces(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    metrics = write(loaded, tmp_path).metrics
    assert metrics["n_stop"] + metrics["n_length"] + metrics["n_empty"] == 6
    assert metrics["batch_check_n"] == 2
    assert metrics["batch_check_different"] == 0


def test_samples_of_a_problem_differ_and_a_second_run_repeats_them(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    first, second = (write(loaded, tmp_path / turn).sampled for turn in "ab")
    assert first == second
    assert any(a.token_ids != b.token_ids for a, b in zip(first[::2], first[1::2], strict=True))


def test_a_batch_is_a_unit_and_is_found_again_unless_what_it_depends_on_changes(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    first = write(loaded, tmp_path)
    kept = units_of(tmp_path)
    assert len(kept) == 4  # two batches of samples, one of greedy traces, one check
    assert write(loaded, tmp_path) == first
    assert units_of(tmp_path) == kept
    other = Params(2, 1.0, 12, 4, 2, 0, 2, "cpu", "float32")
    write(loaded, tmp_path, other)
    assert len(units_of(tmp_path)) == 8


@pytest.mark.parametrize("gives_ids", [True, False])
def test_a_server_writes_the_same_greedy_traces_and_is_checked(
    loaded: LoadedModel, tmp_path: Path, gives_ids: bool
) -> None:
    with completing(loaded, gives_ids=gives_ids) as server:
        asked = Server(server.url, "served", 2, takes_ids=True, n_checks=4, max_gap=0.2)
        served = write(loaded, tmp_path / "served", replace(PARAMS, server=asked))
    own = write(loaded, tmp_path / "own")
    assert served.greedy == own.greedy
    assert [one.trace_id for one in served.sampled] == [one.trace_id for one in own.sampled]
    assert served.served is not None and own.served is None
    assert served.served.n_greedy == sum(len(one.token_ids) for one in own.greedy)
    assert served.served.gap < 1e-4


def test_a_server_of_another_model_publishes_nothing(loaded: LoadedModel, tmp_path: Path) -> None:
    other = loading.load(save_model(tmp_path / "other", seed=1))
    with completing(other) as server:
        asked = Server(server.url, "served", 2, takes_ids=True, n_checks=4, max_gap=0.2)
        with pytest.raises(UserError, match="Nothing was published"):
            write(loaded, tmp_path, replace(PARAMS, server=asked))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_in_the_middle_it_goes_on_from_the_batch_in_hand(
    tmp_path: Path, how: signal.Signals
) -> None:
    overlay = {"traces": {"batch_size": 2, "n_samples": 4, "max_new_tokens": 80}}
    study = write_study(12)
    whole = write_workspace(tmp_path / "whole", study, PAIR, overlay=overlay)
    stage.main(["--root", str(whole.root)])
    ended = write_workspace(tmp_path / "ended", study, PAIR, overlay=overlay)
    (ended.traces / "traces.jsonl").write_text("")
    command = [sys.executable, "-m", "backtracking.stages.traces", "--root", str(ended.root)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(units_of(ended.root)) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(how)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (75 if how == signal.SIGTERM else -how), said
    kept = units_of(ended.root)
    assert 3 <= len(kept) < len(units_of(whole.root))
    assert (ended.traces / "traces.jsonl").read_text() == ""
    stage.main(["--root", str(ended.root)])
    assert units_of(ended.root) == units_of(whole.root) > kept
    for name in ("traces.jsonl", "greedy.jsonl", "metrics.json"):
        assert (ended.traces / name).read_bytes() == (whole.traces / name).read_bytes()


def test_traces_that_come_with_their_problems_are_taken_and_only_the_others_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(tmp_path)
    study = write_study(3)
    write_workspace(tmp_path, study, PAIR)
    text = workspace.params.read_text()
    text = text.replace("name: organism", "name: mute").replace("data/raw/.gitkeep", "lines.jsonl")
    workspace.params.write_text(text)
    lines = [
        '{"problem_id": "a", "split": "train", "prompt": "Start at 0 .", "text": "Total 3 ."}',
        '{"problem_id": "a", "split": "train", "prompt": "Start at 0 .", "text": "Total 4 ."}',
        '{"problem_id": "b", "split": "dev", "prompt": "Start at 0 ."}',
        '{"problem_id": "c", "split": "test", "prompt": "Found", "text": "Total 3 ."}',
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    from backtracking.stages import problems

    problems.main(["--root", str(tmp_path)])
    stage.main(["--root", str(tmp_path)])
    sampled = reader.read_lines(Trace, workspace.traces / "traces.jsonl")
    assert [one.trace_id for one in sampled] == ["a/0", "a/1", "c/0", "b/0", "b/1"]
    assert [one.text for one in sampled[:3]] == ["Total 3.", "Total 4.", "Total 3."]
    greedy = reader.read_lines(Trace, workspace.traces / "greedy.jsonl")
    assert [one.trace_id for one in greedy] == ["b/0"]
    aligned = artifacts.read_json(workspace.traces / "metrics.json")["alignment"]
    assert (aligned["n_tokenized"], aligned["n_tokenized_whole"]) == (3, 0)
    assert aligned["different"][1] == {
        "trace_id": "a/1", "differs_at": 7, "given": " .", "decoded": ".",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert (
        "0 of 3 texts tokenized here" in said
        and "a/0, from character 7: ' .' came back as '.'" in said
    )


def test_temperature_zero_for_sampled_rollouts_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature 0.0 must be above 0"):
        Params(2, 0.0, 12, 4, 2, 0, 1, "cpu", "float32")
