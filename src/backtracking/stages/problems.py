"""What is asked? Problems with their split and exact answer, none of which a model trains on.

Reads: params.yaml
Writes: data/raw/problems/problems.jsonl
"""

from collections.abc import Sequence

from backtracking.domains.domain import ProblemPlan
from backtracking.domains.registry import open_domain
from backtracking.records import reader
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the problems."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    plan = params.load(ProblemPlan, "problems", workspace.params)
    problems = open_domain(workspace.params).problems(plan)
    with artifacts.new_folder(workspace.problems) as folder:
        reader.write_lines(folder / "problems.jsonl", problems)
    print(f"{len(problems)} problems")


if __name__ == "__main__":
    main()
