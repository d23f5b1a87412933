import pytest
from project import write_tiny_params

from backtracking.domains.domain import ProblemPlan
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.solver import solutions
from backtracking.domains.organism.world import World, make_problem, read_prompt, split_of
from backtracking.records import reader
from backtracking.records.traces import Problem
from backtracking.runtime.workspace import Workspace
from backtracking.stages import problems
from lifeboat.stage.errors import UserError

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
SHARES = (0.5, 0.2, 0.3)


def draw(n_study: int, n_held_out: int, seed: int = 1, world: World = WORLD) -> list[Problem]:
    """Problems of a world."""
    plan = ProblemPlan(n_study, n_held_out, SHARES, seed)
    return Organism(world, Policy(), BasePolicy()).problems(plan)


def test_the_stage_writes_the_domains_problems(tmp_path) -> None:
    workspace = Workspace(tmp_path)
    write_tiny_params(workspace.params)
    problems.main(["--root", str(tmp_path)])
    found = reader.read_lines(Problem, workspace.problems / "problems.jsonl")
    assert len(found) == 34
    assert {one.split for one in found} == {"train", "dev", "test"}


def test_problems_are_distinct_held_out_and_have_an_exact_answer() -> None:
    found = draw(60, 10)
    assert len({problem.problem_id for problem in found}) == len(found) == 70
    for problem in found:
        numbers, target = read_prompt(problem.prompt)
        chosen = tuple(int(word) for word in problem.answer.split())
        assert sum(chosen) == target and set(chosen) <= set(numbers)
        assert len(solutions(numbers, target)) >= WORLD.min_solutions
        if problem.pool == "study":
            assert WORLD.is_study(numbers, target) and len(numbers) in WORLD.sizes
        else:
            assert problem.pool == "held-out-size" and len(numbers) == WORLD.held_out_size


def test_a_problems_split_depends_on_the_problem_and_not_on_its_order_or_the_draw() -> None:
    split_by_id = {problem.problem_id: problem.split for problem in draw(60, 10)}
    shared = [problem for problem in draw(60, 10, 2) if problem.problem_id in split_by_id]
    assert shared
    assert all(split_by_id[problem.problem_id] == problem.split for problem in shared)
    assert split_of((3, 1, 2), 3, SHARES) == split_of((1, 2, 3), 3, SHARES)
    assert set(split_by_id.values()) == {"train", "dev", "test"}


def test_a_prompt_reads_back() -> None:
    problem = make_problem((7, 2, 5), 9, "study", "train")
    assert problem.prompt == "Numbers 7 2 5. Target 9."
    assert read_prompt(problem.prompt) == ((7, 2, 5), 9)


def test_a_world_with_too_few_problems_is_refused_with_the_number_found() -> None:
    with pytest.raises(UserError, match=r"`n_study` asks for 50 distinct problems, and \d+ were"):
        draw(50, 0, world=World((3,), 4, 5, 1, 0.2, 0.0))


def test_splits_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(ValueError, match="must be above 0 and sum to 1"):
        ProblemPlan(60, 10, (0.5, 0.2, 0.2), 1)
