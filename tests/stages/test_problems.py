import pytest

from backtracking.domains.organism.solver import solutions
from backtracking.domains.organism.world import World, make_problem, read_prompt, split_of
from backtracking.stages.problems import Params, run
from lifeboat.stage.errors import UserError

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
PARAMS = Params(60, 10, (0.5, 0.2, 0.3), 1)


def test_problems_are_distinct_held_out_and_have_an_exact_answer() -> None:
    problems = run(PARAMS, WORLD)
    assert len({problem.problem_id for problem in problems}) == len(problems) == 70
    for problem in problems:
        numbers, target = read_prompt(problem.prompt)
        chosen = tuple(int(word) for word in problem.answer.split())
        assert sum(chosen) == target and set(chosen) <= set(numbers)
        assert len(solutions(numbers, target)) >= WORLD.min_solutions
        if problem.pool == "study":
            assert WORLD.is_study(numbers, target) and len(numbers) in WORLD.sizes
        else:
            assert problem.pool == "held-out-size" and len(numbers) == WORLD.held_out_size


def test_a_problems_split_depends_on_the_problem_and_not_on_its_order_or_the_draw() -> None:
    split_by_id = {problem.problem_id: problem.split for problem in run(PARAMS, WORLD)}
    again = run(Params(60, 10, (0.5, 0.2, 0.3), 2), WORLD)
    shared = [problem for problem in again if problem.problem_id in split_by_id]
    assert all(split_by_id[problem.problem_id] == problem.split for problem in shared)
    shares = (0.5, 0.2, 0.3)
    assert split_of((3, 1, 2), 3, shares) == split_of((1, 2, 3), 3, shares)
    assert {problem.split for problem in run(PARAMS, WORLD)} == {"train", "dev", "test"}


def test_a_prompt_reads_back() -> None:
    problem = make_problem((7, 2, 5), 9, "study", "train")
    assert problem.prompt == "Numbers 7 2 5. Target 9."
    assert read_prompt(problem.prompt) == ((7, 2, 5), 9)


def test_a_world_with_too_few_problems_is_refused_with_the_number_found() -> None:
    with pytest.raises(UserError, match=r"`n_study` asks for 50 distinct problems, and \d+ were"):
        run(Params(50, 0, (0.5, 0.2, 0.3), 1), World((3,), 4, 5, 1, 0.2, 0.0))


def test_splits_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0 and sum to 1"):
        Params(60, 10, (0.5, 0.2, 0.2), 1)
