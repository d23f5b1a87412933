"""Which problems there are: splits by hash, held-out kinds apart, and refusals."""

from dataclasses import replace
from random import Random

import pytest

from backtracking.domains.organism.solver import solutions
from backtracking.domains.organism.world import (
    World,
    hash_share,
    make_problem,
    read_prompt,
    split_of,
)


def test_drawn_problems_have_the_sizes_numbers_and_solutions_of_the_world(world: World) -> None:
    random = Random(0)
    for _ in range(200):
        numbers, target = world.draw(random)
        assert len(numbers) in world.sizes and len(set(numbers)) == len(numbers)
        assert min(numbers) >= 1 and max(numbers) <= world.max_number
        assert len(solutions(numbers, target)) >= world.min_solutions
    assert len(world.draw(random, world.held_out_size)[0]) == world.held_out_size


def test_the_pool_and_the_split_of_a_problem_do_not_depend_on_the_order(world: World) -> None:
    shares = (0.5, 0.2, 0.3)
    random = Random(1)
    for _ in range(100):
        numbers, target = world.draw(random)
        turned = tuple(sorted(numbers))
        assert world.is_study(numbers, target) == world.is_study(turned, target)
        assert split_of(numbers, target, shares) == split_of(turned, target, shares)


def test_shares_of_study_pairs_and_splits_are_the_stated_ones(world: World) -> None:
    random = Random(2)
    problems = [world.draw(random) for _ in range(1500)]
    study = [world.is_study(*problem) for problem in problems]
    assert abs(sum(study) / len(study) - world.study_share) < 0.05
    splits = [split_of(*problem, (0.5, 0.2, 0.3)) for problem in problems]
    for split, expected in zip(("train", "dev", "test"), (0.5, 0.2, 0.3), strict=True):
        assert abs(splits.count(split) / len(splits) - expected) < 0.06
    pairs = [world.is_held_out_pair(total, target) for total in range(70) for target in range(70)]
    assert abs(sum(pairs) / len(pairs) - world.held_out_pair_share) < 0.02


def test_a_problem_is_read_back_from_its_prompt_and_its_answer_is_right(world: World) -> None:
    numbers, target = world.draw(Random(3))
    problem = make_problem(numbers, target, "study", "dev")
    assert read_prompt(problem.prompt) == (numbers, target)
    answer = [int(number) for number in problem.answer.split()]
    assert sum(answer) == target and set(answer) <= set(numbers)


def test_hash_shares_are_fixed_for_all_time() -> None:
    assert hash_share("pool", [1, 2, 3], 5) == hash_share("pool", [1, 2, 3], 5)
    assert hash_share("pool", [1, 2, 3], 5) != hash_share("split", [1, 2, 3], 5)
    assert 0 <= hash_share("x") < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"held_out_size": 4}, "must not be one of sizes"),
        ({"sizes": (2, 5)}, "needs 3 numbers"),
        ({"max_number": 40}, "72 at the most"),
        ({"study_share": 1.0}, "shares between 0 and 1"),
    ],
)
def test_a_world_that_cannot_be_is_refused(world: World, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(world, **change)
