"""Which models? The control pairs, trained side by side.

Reads: params.yaml; models/base
Writes: models/<role>/ of every control pair, as the stage `weights` does
"""

import multiprocessing
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from backtracking.domains.organism.recipes import recipe_of
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.stages import weights
from lifeboat.stage import interruption, progress
from lifeboat.stage.errors import UserError

_POLL_S = 0.2


@dataclass(frozen=True)
class Params:
    """How control pairs are trained.

    Attributes:
        n_at_once: models that train at the same time, a process each; one at a time trains in the
            stage's own.
        n_threads: CPU threads of each.
    """

    n_at_once: int
    n_threads: int

    def __post_init__(self) -> None:
        if min(self.n_at_once, self.n_threads) < 1:
            raise ValueError("n_at_once and n_threads must be 1 or more.")


def main(argv: Sequence[str] | None = None) -> None:
    """Makes models/<role> of every control pair."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "controls", workspace.params)
    roles = [
        role
        for role in params.load(Roles, "models", workspace.params).all
        if role not in ("base", "reasoning")
    ]
    n_steps = sum(weights.load_params(workspace, role).steps for role in roles)
    with progress.bar("training control pairs", n_steps, "steps") as advance:
        train = _train_in_turn if params_.n_at_once == 1 else _train_side_by_side
        train(workspace, params_, roles, advance)
    for role in roles:
        weights.remove_checkpoints(workspace, role)


def _train_in_turn(
    workspace: Workspace, params_: Params, roles: Sequence[str], advance: progress.Advance
) -> None:
    for role in _in_order(workspace, roles):
        weights.make(workspace, role, params_.n_threads, advance)


def _train_side_by_side(
    workspace: Workspace, params_: Params, roles: Sequence[str], advance: progress.Advance
) -> None:
    """Starts each role once what it starts from is there, and waits for all."""
    context = multiprocessing.get_context("spawn")
    n_done, n_shown = context.Value("q", 0), 0
    waiting, unfinished = _in_order(workspace, roles), set(roles)
    running: dict[str, SpawnProcess] = {}
    try:
        while unfinished and not interruption.requested():
            for role in [role for role in waiting if recipe_of(role).start not in unfinished]:
                if len(running) < params_.n_at_once:
                    waiting.remove(role)
                    running[role] = _start(context, workspace, role, params_.n_threads, n_done)
            time.sleep(_POLL_S)
            for role in [role for role, process in running.items() if process.exitcode is not None]:
                _require_success(role, running.pop(role))
                unfinished.remove(role)
            advance(n_done.value - n_shown)
            n_shown = n_done.value
    finally:
        _end(running.values())
    interruption.checkpoint()


def _in_order(workspace: Workspace, roles: Sequence[str]) -> list[str]:
    """The roles that take longest first, each with what has to follow it."""

    def n_steps(role: str) -> int:
        after = [other for other in roles if recipe_of(other).start == role]
        return weights.load_params(workspace, role).steps + sum(map(n_steps, after))

    return sorted(roles, key=lambda role: (-n_steps(role), role))


def _start(
    context: SpawnContext,
    workspace: Workspace,
    role: str,
    n_threads: int,
    n_done: "Synchronized[int]",
) -> SpawnProcess:
    process = context.Process(target=_work, args=(workspace.root, role, n_threads, n_done))
    process.start()
    return process


def _work(root: Path, role: str, n_threads: int, n_done: "Synchronized[int]") -> None:
    """One role, in a process of its own."""
    interruption.install()

    def advance(n: int) -> None:
        with n_done.get_lock():
            n_done.value += n

    try:
        weights.make(Workspace(root), role, n_threads, advance)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _require_success(role: str, process: SpawnProcess) -> None:
    if process.exitcode not in (0, interruption.EXIT_CODE):
        raise UserError(
            f"Training `{role}` ended with code {process.exitcode}.",
            "What the others have done is kept; see the message above and run it again.",
        )


def _end(processes: Collection[SpawnProcess]) -> None:
    """Asks the processes to stop at their next checkpoint, and waits for that."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
