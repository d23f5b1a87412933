"""Verdicts on whole generations, on planted outcomes; random sets are what they say."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.interventions import without_components
from backtracking.interventions.components import Component, make_ablator
from backtracking.interventions.rollouts import Observed
from backtracking.interventions.without_components import (
    compare,
    judge,
    random_sets,
    run_free,
    tabulate_free,
    to_claim,
)
from backtracking.models import loading
from backtracking.models.generation import generate
from backtracking.models.sampling import Sampling
from backtracking.models.training import Architecture, build_model
from backtracking.runtime import params
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(300, 0.95, 0)
N_PROBLEMS = 60
COMPONENTS = [Component(kind, layer) for kind in ("attention", "mlp") for layer in range(4)]
CHOSEN = (Component("mlp", 1),)
Run = dict[str, Observed]


def run(backtracking: float, solving: float, validity: float, seed: int = 0) -> Run:
    """A run with these rates, over problems with two sentences each."""
    rng = np.random.default_rng(seed)
    names = [f"p{number:02}" for number in range(N_PROBLEMS)]
    draws = {name: rng.random(20 * N_PROBLEMS) for name in without_components.JUDGED}

    def observe(measure: str, rate: float, n: int) -> Observed:
        values = (draws[measure][: n * N_PROBLEMS] < rate).astype(float).tolist()
        return Observed(values, [name for name in names for _ in range(n)])

    return {
        "backtracking_rate": observe("backtracking_rate", backtracking, 20),
        "solve_rate": observe("solve_rate", solving, 1),
        "conditional_validity": observe("conditional_validity", validity, 20),
    }


WHOLE = run(0.2, 0.7, 0.98)
RANDOMS = [run(0.18, 0.65, 0.95, seed) for seed in (1, 2, 3)]
OUTCOMES = {
    "specific": (run(0.02, 0.66, 0.96, 4), RANDOMS),
    "unspecific": (run(0.02, 0.1, 0.4, 4), RANDOMS),
    "no effect": (run(0.2, 0.7, 0.98, 4), RANDOMS),
}


@pytest.mark.parametrize("expected", OUTCOMES)
def test_planted_outcomes_have_their_verdicts(expected: str) -> None:
    chosen, randoms = OUTCOMES[expected]
    compared = compare(WHOLE, chosen, randoms, BOOTSTRAP)
    verdict, parts = judge(compared, 0.5)
    assert verdict == expected
    assert all(parts.values()) == (expected == "specific")
    row = to_claim("reasoning", CHOSEN, compared, (verdict, parts))
    assert row["verdict"] == ("holds" if expected == "specific" else "fails")
    assert (row["pair"], row["outcome"], row["n"]) == ("mlp.1 -> reasoning", expected, N_PROBLEMS)
    assert row["p"] >= 1 / 4


def test_a_fall_that_random_sets_have_as_well_is_not_specific() -> None:
    falls_too = [*RANDOMS[:2], run(0.02, 0.65, 0.95, 5)]
    verdict, parts = judge(compare(WHOLE, run(0.02, 0.66, 0.96, 4), falls_too, BOOTSTRAP), 0.5)
    assert verdict == "unspecific" and not parts["falls_beyond_each_random_set"]
    assert parts["solve_rate_not_beyond_random"] and parts["solve_rate_kept"]


def test_where_random_sets_break_the_model_as_well_a_broken_model_is_still_not_specific() -> None:
    """As published: 68 % -> 2.8 % backtracking, and 20 % -> 1 % solved, as for random sets."""
    broken = [run(0.15, 0.01, 0.5, seed) for seed in (1, 2, 3)]
    verdict, parts = judge(compare(WHOLE, run(0.01, 0.04, 0.5, 4), broken, BOOTSTRAP), 0.5)
    assert parts["falls_beyond_each_random_set"] and parts["solve_rate_not_beyond_random"]
    assert verdict == "unspecific" and not parts["solve_rate_kept"]


@pytest.mark.parametrize(
    ("whole", "randoms"),
    [
        (run(0.0, 0.7, 0.98), RANDOMS),
        (run(0.2, 0.0, 0.98), RANDOMS),
        (WHOLE, []),
        ({"solve_rate": WHOLE["solve_rate"]}, RANDOMS),
    ],
)
def test_what_cannot_fall_or_has_nothing_beside_it_is_untestable(whole, randoms) -> None:
    compared = compare(whole, run(0.02, 0.66, 0.96, 4), randoms, BOOTSTRAP)
    judged = judge(compared, 0.5)
    assert judged[0] == "untestable"
    assert to_claim("reasoning", CHOSEN, compared, judged)["verdict"] == "untestable"


def test_changes_are_the_planted_ones_and_the_null_is_the_largest_random_fall() -> None:
    compared = compare(WHOLE, OUTCOMES["specific"][0], RANDOMS, BOOTSTRAP)
    one = compared["backtracking_rate"]
    assert one.change.value == pytest.approx(-0.18, abs=0.03)
    assert one.excess.value == pytest.approx(-0.16, abs=0.03)
    mean = np.mean([excess.value or 0 for excess in one.excess_by_set])
    assert one.excess.value == pytest.approx(mean)
    row = to_claim("reasoning", CHOSEN, compared, judge(compared, 0.5))
    assert row["null"] == min(interval.value or 0 for interval in one.random)


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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    found = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(2, 16, 2, 32, 96), tokenizer, 0).save_pretrained(found)
    tokenizer.save_pretrained(found)
    return found


def test_no_set_is_the_bare_model_and_sets_share_their_random_numbers(folder: Path) -> None:
    loaded = loading.load(folder)
    with torch.no_grad():
        for weights in loaded.model.parameters():
            weights.mul_(8)
    world, random = params.load(World, "world", PROJECT_ROOT / "params.yaml"), Random(0)
    problems = [make_problem(*world.draw(random), "study", "test") for _ in range(4)]
    ablator = make_ablator(loaded, [[1, 5, 9, 8, 7]], 2)
    hooks = sum(len(module._forward_hooks) for module in loaded.model.modules())
    sampling = Sampling(3, 1.0, 80)
    top = (Component("mlp", 0),)
    found = run_free(ablator, [(), top, ()], "zero", problems, sampling)
    bare, without, again = (tabulate_free(one, BOOTSTRAP) for one in found)
    assert bare == again
    assert found[0]["n_tokens"].values != found[1]["n_tokens"].values
    prompts = [loaded.tokenizer(problem.prompt).input_ids for problem in problems]
    written = generate(loaded, prompts, [problem.problem_id for problem in problems], sampling)
    lengths = [float(len(one.token_ids)) for one in written]
    assert found[0]["n_tokens"].values == lengths
    assert sum(len(module._forward_hooks) for module in loaded.model.modules()) == hooks


def test_a_rollout_backtracks_where_any_of_its_sentences_does() -> None:
    one = without_components._any_by_problem(Observed([0.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"]))
    assert (one.values, one.problem_ids) == ([1.0, 0.0], ["a", "b"])
