"""The stage on untrained models: what is chosen on dev is run on test, beside other sets."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from counted_units import Counted
from tiny_study import (
    N_LAYERS,
    PAIR_AND_CONTROL,
    SMALL_WORLD,
    TinyStudy,
    make_models,
    write_study,
    write_workspace,
)

from backtracking.effects.components import tabulate
from backtracking.records.decisions import Classes
from backtracking.records.measured import P_OPEN, read_all_measured
from backtracking.records.rollouts import read_rollouts
from backtracking.runtime.forks import Cores
from backtracking.stages.ablate import OUT, Inputs, Params, Result, main, run
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units

PARAMS = Params(
    n_problems=None, n_samples=1, top=(1, 2), n_random=2, max_new_tokens=30, rows_per_batch=8,
    seed=5, cores=Cores(1, 1, "cpu"),
)  # fmt: skip
TARGETS = ("reasoning", "shuffled", "scratch")
CLASSES = Classes("action", ("turns",), ("goes on",), ())


@pytest.fixture(scope="module")
def study() -> TinyStudy:
    return write_study(18, world=SMALL_WORLD)


@pytest.fixture(scope="module")
def inputs(study: TinyStudy, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(
        model_by_role=make_models(tmp_path_factory.mktemp("models"), TARGETS, scale=8),
        traces=study.traces,
        sentences=study.sentences,
        decisions=study.decisions,
        classes=CLASSES,
        marked_ids=study.labelled.tokens.opener_ids,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def result(inputs: Inputs, store: Path) -> Result:
    return run(PARAMS, inputs, Counted(store))


def assert_same(one: Result, other: Result) -> None:
    assert one.ranking_by_target == other.ranking_by_target and one.rollouts == other.rollouts
    for first, second in zip(one.measured, other.measured, strict=True):
        assert (first.target, first.run, first.arms) == (second.target, second.run, second.arms)
        for name, array in first.arrays.items():
            assert np.array_equal(array.values, second.values(name), equal_nan=True)


def test_the_ranking_has_every_component_and_its_top_is_taken_away(result: Result) -> None:
    for target in TARGETS:
        ranking = result.ranking_by_target[target]
        assert len(ranking) == 2 * N_LAYERS
        falls = [one.fall for one in ranking]
        assert falls == sorted(falls, reverse=True)
        names = [one.component.name for one in ranking]
        runs = {one.name: one for one in result.rollouts if one.target == target}
        sizes = PARAMS.top if target == TARGETS[0] else PARAMS.top[:1]
        assert [name for name in runs if name.startswith("top")] == [f"top_{k}" for k in sizes]
        for k in sizes:
            assert [arm.name for arm in runs[f"top_{k}"].arms] == names[:k]
        assert runs["baseline"].arms == () and len(runs["random_1_0"].arms) == 1


def test_every_component_is_taken_away_in_both_places_and_with_both_values_where_it_is_studied(
    result: Result,
) -> None:
    assert [(one.target, one.run) for one in result.measured] == [
        (target, split) for split in ("dev", "test") for target in TARGETS
    ]
    for one in result.measured:
        arms = {(arm.name, arm.value, arm.where) for arm in one.arms[1:]}
        n_values = 2 if (one.target, one.run) == (TARGETS[0], "test") else 1
        assert len(arms) == len(one.arms) - 1 == 2 * N_LAYERS * 2 * n_values


def test_of_as_many_problems_as_are_asked_for_the_traces_are_read(
    result: Result, inputs: Inputs, tmp_path: Path
) -> None:
    some = run(replace(PARAMS, n_problems=2), inputs, Units(tmp_path, ("backtracking",)))
    for few, whole in zip(some.measured, result.measured, strict=True):
        kept = inputs.decisions[inputs.decisions.rows_of(few.decisions)]
        assert len(set(kept.problem.tolist())) == 2 < len(whole.prefixes)
        rows = [whole.decisions.index(one) for one in few.decisions]
        np.testing.assert_allclose(
            few.values(P_OPEN), whole.values(P_OPEN)[:, rows], rtol=1e-4, atol=1e-6
        )


def test_the_choice_does_not_read_test_problems(inputs: Inputs, store: Path) -> None:
    is_test = np.array([trace.split == "test" for trace in inputs.traces])
    kept = [row for row, other in enumerate(is_test) if not other]
    rows = np.isin(inputs.decisions.trace, kept)
    units = Counted(store)
    changed = replace(inputs, decisions=inputs.decisions[rows])
    found = run(replace(PARAMS, top=(1,), n_random=1), changed, units)
    assert found.ranking_by_target == run(PARAMS, inputs, units).ranking_by_target


def test_everything_is_kept_and_a_kill_costs_one_part(
    inputs: Inputs, result: Result, store: Path, tmp_path: Path
) -> None:
    again = Counted(store)
    assert_same(run(PARAMS, inputs, again), result)
    assert again.n_made == 0
    killed, resumed = Counted(tmp_path, killed_at=10), Counted(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(PARAMS, inputs, killed)
    assert_same(run(PARAMS, inputs, resumed), result)
    n_parts = 3 * len(TARGETS) + len(result.rollouts)
    assert (killed.n_made, resumed.n_made) == (10, n_parts - 10)
    assert len(list((tmp_path / ".cache" / "store" / OUT).glob("*.safetensors"))) == n_parts


def test_without_kinds_the_positive_class_is_ranked_by_and_without_words_nothing_is_measured(
    inputs: Inputs, tmp_path: Path
) -> None:
    nothing = np.full(len(inputs.decisions), None, dtype=object)
    unknown = replace(inputs.decisions, kind=nothing, known_kinds=())
    one_model = {TARGETS[0]: inputs.model_by_role[TARGETS[0]]}
    mute = replace(inputs, decisions=unknown, model_by_role=one_model)
    found = run(replace(PARAMS, top=(1,)), mute, Units(tmp_path, ("backtracking",)))
    assert len(found.ranking_by_target[TARGETS[0]]) == 2 * N_LAYERS and found.rollouts
    rows = tabulate(TARGETS, found.measured, unknown, [], Bootstrap(50, 0.95, 0), 0.5)
    assert rows["forced"] == [] and len(rows["elsewhere"]) == 2 * N_LAYERS * 2 * 2
    wordless = replace(mute, marked_ids=[])
    assert run(PARAMS, wordless, Counted(tmp_path, killed_at=0)) == Result([], [], {})


def test_where_dev_has_no_dead_end_nothing_is_ranked_and_nothing_set_free(
    inputs: Inputs, store: Path
) -> None:
    dead = inputs.decisions.kinds_that(standing="dead", visible=True)
    rows = ~(np.isin(inputs.decisions.kind, dead) & (inputs.decisions.split == "dev"))
    alive = replace(inputs, decisions=inputs.decisions[rows])
    found = run(PARAMS, alive, Units(store, ("backtracking",)))
    assert found.ranking_by_target == dict.fromkeys(TARGETS, []) and found.rollouts == []


def test_what_is_written_reads_back(study: TinyStudy, tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, study, PAIR_AND_CONTROL)
    main(["--root", str(tmp_path)])
    folder = workspace.results("ablate")
    measured = read_all_measured(folder / "measured")
    assert [(one.target, one.run) for one in measured] == [
        (target, split) for target in TARGETS[:2] for split in ("dev", "test")
    ]
    assert {id_ for one in measured for id_ in one.decisions} <= set(study.decisions.ids)
    runs = read_rollouts(folder / "rollouts")
    test = [problem.problem_id for problem in study.problems if problem.split == "test"]
    assert {one.name for one in runs} == {"baseline", "top_1", "random_1_0"}
    assert all([trace.problem_id for trace in one.traces] == test for one in runs)
    selection = artifacts.read_json(folder / "selection.json")
    assert list(selection) == list(TARGETS[:2])
    assert len(selection["reasoning"]["ranking"]) == 2 * N_LAYERS


@pytest.mark.parametrize("wrong", [{"n_random": 0}, {"top": (0,)}, {"n_problems": 0}])
def test_sizes_that_make_no_sense_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(PARAMS, **wrong)
