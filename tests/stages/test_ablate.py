"""The stage on untrained models: what is chosen on dev is run on test, beside other sets."""

from dataclasses import replace

import pytest
from untrained_study import N_LAYERS, make_inputs

from backtracking.interventions.runs import Inputs
from backtracking.runtime.forks import Cores
from backtracking.stages.ablate import Params, run
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

PARAMS = Params(
    n_samples=1, top=(1, 2), n_random=2, kept_share=0.5, max_new_tokens=30, rows_per_batch=8,
    seed=5, cores=Cores(1, 1, "cpu"),
)  # fmt: skip
BASE_BY_ROLE = {"reasoning": "base", "shuffled": "base", "scratch": "base"}
TARGETS = tuple(BASE_BY_ROLE)
BOOTSTRAP = Bootstrap(50, 0.95, 0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("study"), TARGETS, BASE_BY_ROLE)


@pytest.fixture(scope="module")
def result(inputs: Inputs) -> dict:
    return run(PARAMS, BOOTSTRAP, inputs)


def test_the_ranking_has_every_component_and_its_top_is_taken_away(result: dict) -> None:
    for target in TARGETS:
        ranking = result["selection"][target]["ranking"]
        assert len(ranking) == 2 * N_LAYERS
        falls = [row["fall"] for row in ranking]
        assert falls == sorted(falls, reverse=True)
        for k in PARAMS.top if target == "reasoning" else PARAMS.top[:1]:
            (found,) = {
                tuple(row["components"])
                for row in result["free"]
                if (row["target"], row["arm"]) == (target, f"top_{k}")
            }
            assert list(found) == [row["component"] for row in ranking[:k]]


def test_the_choice_does_not_read_test_problems(inputs: Inputs, result: dict) -> None:
    others = [replace(t, token_ids=t.token_ids[:40]) for t in inputs.traces if t.split == "test"]
    rest = [trace for trace in inputs.traces if trace.split != "test"]
    is_test = inputs.moments.split == "test"
    cut = inputs.moments[~is_test | (inputs.moments.end < 40)]
    by_id = {trace.trace_id: trace for trace in (*others, *rest)}
    changed = replace(
        inputs, traces=[by_id[trace.trace_id] for trace in inputs.traces], moments=cut
    )
    assert run(PARAMS, BOOTSTRAP, changed)["selection"] == result["selection"]


def test_every_component_is_taken_away_in_both_places_and_with_both_values_where_it_is_studied(
    result: dict,
) -> None:
    arms = {(r["target"], r["component"], r["value_written"], r["place"]) for r in result["forced"]}
    n_values = {"reasoning": 2, "shuffled": 1, "scratch": 1}
    assert len(arms) == sum(n_values.values()) * 2 * N_LAYERS * 2 == len(result["elsewhere"])
    for target, n in n_values.items():
        assert len({arm[2] for arm in arms if arm[0] == target}) == n
    assert {row["kind"] for row in result["forced"]} >= {"over", "alive"}


def test_every_size_has_a_verdict_in_every_model(result: dict) -> None:
    named = [(row["pair"].split(" -> ")[1], row["outcome"]) for row in result["evidence"]]
    assert [target for target, _ in named] == ["reasoning", *TARGETS]
    # Untrained models solve nothing: there is nothing to keep.
    assert {outcome for _, outcome in named} == {"untestable"}
    arms = {(row["target"], row["arm"]) for row in result["free"]}
    assert ("reasoning", "baseline") in arms and ("shuffled", "random_1_0") in arms
    assert ("reasoning", "top_2") in arms and ("shuffled", "top_2") not in arms


def test_results_are_json_without_nan(result: dict, tmp_path) -> None:
    for name, value in result.items():
        artifacts.write_json(tmp_path / f"{name}.json", value)
        assert artifacts.read_json(tmp_path / f"{name}.json") is not None


@pytest.mark.parametrize("wrong", [{"n_random": 0}, {"top": (0,)}, {"kept_share": 1.0}])
def test_sizes_and_shares_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(PARAMS, **wrong)
