from pathlib import Path

import pytest
from tiny_models import save_model

from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.portions import Portions
from backtracking.records.traces import Problem
from backtracking.stages.traces import Params, run

PARAMS = Params(2, 1.0, 12, 4, 2, 0, 1, "cpu", "float32")
PROBLEMS = [
    Problem(f"p{n}", "test", "study" if n < 3 else "held-out-size", f"w{n} w{n + 1} .", "")
    for n in range(4)
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny random model."""
    return loading.load(save_model(tmp_path_factory.mktemp("model")))


def test_every_rollout_is_kept_with_its_ids_reason_and_settings(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    result = run(PARAMS, loaded, PROBLEMS, Portions(tmp_path, 1))
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
    metrics = run(PARAMS, loaded, PROBLEMS, Portions(tmp_path, 1)).metrics
    assert metrics["n_stop"] + metrics["n_length"] + metrics["n_empty"] == 6
    assert metrics["batch_check_n"] == 2
    assert metrics["batch_check_different"] == 0


def test_samples_of_a_problem_differ_and_a_second_run_repeats_them(
    loaded: LoadedModel, tmp_path: Path
) -> None:
    first, second = (
        run(PARAMS, loaded, PROBLEMS, Portions(tmp_path / turn, 1)).sampled for turn in "ab"
    )
    assert first == second
    assert any(a.token_ids != b.token_ids for a, b in zip(first[::2], first[1::2], strict=True))


def test_temperature_zero_for_sampled_rollouts_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature 0.0 must be above 0"):
        Params(2, 0.0, 12, 4, 2, 0, 1, "cpu", "float32")


def test_a_broken_trace_file_is_named_with_its_line(tmp_path: Path) -> None:
    from backtracking.records import traces
    from lifeboat.stage.errors import UserError

    path = tmp_path / "traces.jsonl"
    path.write_text('{"a": 1\n')
    with pytest.raises(UserError, match=r"traces.jsonl, line 1: expected a JSON object"):
        traces.read(traces.Trace, path)
