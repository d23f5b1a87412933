"""What is asked? Problems with their split and exact answer, none of which a model trains on.

Reads: params.yaml
Writes: data/raw/problems/problems.jsonl
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from backtracking.domains.organism.world import World, make_problem, split_of
from backtracking.records import traces
from backtracking.records.traces import Problem
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

DRAWS_PER_PROBLEM = 60


@dataclass(frozen=True)
class Params:
    """How many problems.

    Attributes:
        n_study: problems of the study.
        n_held_out_size: problems of the size that is never trained on, all in the test split.
        split_shares: shares of train, dev and test among the study's problems.
        seed: of the draw.
    """

    n_study: int
    n_held_out_size: int
    split_shares: tuple[float, float, float]
    seed: int

    def __post_init__(self) -> None:
        if abs(sum(self.split_shares) - 1) > 1e-9 or min(self.split_shares) <= 0:
            raise ValueError(f"split_shares {self.split_shares} must be above 0 and sum to 1.")
        if self.n_study < 3:
            raise ValueError(f"n_study {self.n_study} leaves a split empty.")


def run(params: Params, world: World) -> list[Problem]:
    """Distinct problems of the study pool, then those of the held-out size."""
    random = Random(params.seed)
    study: dict[str, Problem] = {}
    for numbers, target in _draws(world, random, params.n_study, None):
        if len(study) < params.n_study and world.is_study(numbers, target):
            split = split_of(numbers, target, params.split_shares)
            problem = make_problem(numbers, target, "study", split)
            study.setdefault(problem.problem_id, problem)
    held_out: dict[str, Problem] = {}
    for numbers, target in _draws(world, random, params.n_held_out_size, world.held_out_size):
        if len(held_out) < params.n_held_out_size:
            problem = make_problem(numbers, target, "held-out-size", "test")
            held_out.setdefault(problem.problem_id, problem)
    for key, found, wanted in (
        ("n_study", study, params.n_study),
        ("n_held_out_size", held_out, params.n_held_out_size),
    ):
        if len(found) < wanted:
            raise UserError(
                f"params.yaml, section `problems`: `{key}` asks for {wanted} distinct problems, "
                f"and {len(found)} were found in {DRAWS_PER_PROBLEM} draws for each.",
                "Ask for fewer, or make the world larger (`max_number`, `sizes`, `study_share`).",
            )
    return [*study.values(), *held_out.values()]


def _draws(
    world: World, random: Random, n: int, size: int | None
) -> Iterator[tuple[tuple[int, ...], int]]:
    """As many draws as should be enough for `n` distinct problems."""
    for _ in range(n * DRAWS_PER_PROBLEM):
        yield world.draw(random, size)


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the problems."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    problems = run(
        params.load(Params, "problems", workspace.params),
        params.load(World, "world", workspace.params),
    )
    with artifacts.new_folder(workspace.problems) as folder:
        traces.write(folder / "problems.jsonl", problems)
    print(f"{len(problems)} problems")


if __name__ == "__main__":
    main()
