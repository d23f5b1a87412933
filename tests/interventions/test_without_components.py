"""Whole generations without components: sets are what they say, and no set is the bare model."""

from random import Random

import pytest
from tiny_study import SMALL_WORLD, make_model, write_study

from backtracking.interventions.components import Ablator, Component, mean_outputs
from backtracking.interventions.prefixes import prompts_of
from backtracking.interventions.without_components import random_sets, removals, write_without
from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling

COMPONENTS = [Component(kind, layer) for kind in ("attention", "mlp") for layer in range(4)]
CHOSEN = (Component("mlp", 1),)


def test_random_sets_have_the_same_kinds_share_least_and_lie_nearest() -> None:
    sets = random_sets(CHOSEN, COMPONENTS, 5, Random(0))
    assert {one.kind for other in sets for one in other} == {"mlp"}
    assert [other[0].layer for other in sets][2:] == [3]
    assert {other[0].layer for other in sets[:2]} == {0, 2}
    pair = (Component("attention", 0), Component("mlp", 3))
    found = random_sets(pair, COMPONENTS, 9, Random(0))
    assert len(set(found)) == 9 and all(not set(other) & set(pair) for other in found)
    assert found[0] == (Component("attention", 1), Component("mlp", 2))
    every = random_sets(pair, COMPONENTS, 99, Random(1))
    assert len(every) == 15 and pair not in every


def test_of_every_size_the_top_of_the_ranking_and_random_sets_are_taken_away() -> None:
    ranking = [Component("mlp", 2), *(one for one in COMPONENTS if one != Component("mlp", 2))]
    found = removals(ranking, (1, 2), 2, 0)
    assert [(one.name, one.group, len(one.components)) for one in found] == [
        ("baseline", "baseline", 0),
        ("top_1", "top", 1),
        ("random_1_0", "random", 1),
        ("random_1_1", "random", 1),
        ("top_2", "top", 2),
        ("random_2_0", "random", 2),
        ("random_2_1", "random", 2),
    ]
    assert found[4].components == tuple(ranking[:2])
    first, second = found[4].arms("mean")
    assert (first.component, first.layer, first.where, first.value) == ("mlp", 2, "all", "mean")
    assert (second.name, second.edit) == ("attention.0", "ablate")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return make_model(tmp_path_factory.mktemp("model"), scale=8)


def test_no_set_is_the_bare_model_and_sets_share_their_random_numbers(loaded: LoadedModel) -> None:
    prompts = prompts_of(write_study(4, world=SMALL_WORLD, splits=("test",)).traces, "test")
    ablator = Ablator(loaded, mean_outputs(loaded, [[1, 5, 9, 8, 7]], 2))
    hooks = sum(len(module._forward_hooks) for module in loaded.model.modules())
    sampling = Sampling(3, 1.0, 80)
    sets = [(), (Component("mlp", 0),), ()]
    bare, without, again = (
        write_without(ablator, one, "zero", prompts, "test", sampling) for one in sets
    )
    assert bare == again != without
    written = generate(loaded, list(prompts.values()), list(prompts), sampling)
    assert [one.token_ids for one in bare] == [one.token_ids for one in written]
    assert sum(len(module._forward_hooks) for module in loaded.model.modules()) == hooks


def test_what_is_written_is_one_whole_trace_a_problem(loaded: LoadedModel) -> None:
    prompts = {"a": [1, 5, 9], "b": [1, 8, 7, 6]}
    ablator = Ablator(loaded, mean_outputs(loaded, list(prompts.values()), 2))
    found = write_without(ablator, (), "mean", prompts, "test", Sampling(3, 1.0, 12))
    for problem, trace in zip(prompts, found, strict=True):
        assert (trace.trace_id, trace.problem_id) == (f"{problem}/0", problem)
        assert (trace.prompt_ids, trace.split) == (prompts[problem], "test")
        assert trace.text == loaded.tokenizer.decode(trace.token_ids, skip_special_tokens=True)
        assert trace.sampling == {"seed": 3, "temperature": 1.0, "max_new_tokens": 12}
