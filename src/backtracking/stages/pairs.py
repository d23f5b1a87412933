"""Which models? Further pairs of base and reasoning from other seeds, trained side by side.

A claim about training needs more than one pair. Each further pair is trained as the study's own
is, in a workspace of its own whose parameters differ in the seeds alone. With `n_pairs: 1`, the
default, there is none, and nothing is trained.

Reads: params.yaml
Writes: models/pairs/{pairs.json,<number>/base/,<number>/reasoning/}
"""

import multiprocessing
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from backtracking.runtime import params, profile
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from lifeboat.stage import artifacts, interruption, progress
from lifeboat.stage.errors import UserError

ROLES = ("base", "reasoning")
_POLL_S = 0.2


@dataclass(frozen=True)
class Params:
    """How many pairs there are.

    Attributes:
        n_pairs: pairs, the study's own included.
        seed_step: added to the seeds of `weights.base` and `weights.reasoning` once for the second
            pair, twice for the third, and so on.
        n_at_once: pairs that train at the same time, a process each.
        n_threads: CPU threads of each.
    """

    n_pairs: int
    seed_step: int
    n_at_once: int
    n_threads: int

    def __post_init__(self) -> None:
        if min(self.n_pairs, self.seed_step, self.n_at_once, self.n_threads) < 1:
            raise ValueError("n_pairs, seed_step, n_at_once and n_threads must be 1 or more.")


def main(argv: Sequence[str] | None = None) -> None:
    """Makes models/pairs."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "pairs", workspace.params)
    numbers = range(2, params_.n_pairs + 1)
    schedules = params.read(workspace.params)["weights"]
    seeds = {number: _seeds(schedules, params_.seed_step * (number - 1)) for number in numbers}
    roots = [_prepare(workspace, number, seeds[number]) for number in numbers]
    n_steps = len(roots) * sum(schedules[role]["steps"] for role in ROLES)
    with progress.bar("training further pairs", n_steps, "steps", shown=bool(roots)) as advance:
        _train_all(params_, roots, advance)
    with artifacts.new_folder(workspace.model("pairs")) as folder:
        for number, root in zip(numbers, roots, strict=True):
            for file in sorted((root / "models").rglob("*")):
                if file.is_file():
                    target = folder / str(number) / file.relative_to(root / "models")
                    artifacts.link_or_copy(file, target)
        rows = [{"number": number, "seeds": found} for number, found in seeds.items()]
        artifacts.write_json(folder / "pairs.json", rows)
    for root in roots:
        _clean(Workspace(root))


def _seeds(schedules: Mapping[str, Any], step: int) -> dict[str, int]:
    """Seeds of both models of a pair, `step` above those of the study's own."""
    for role in ROLES:
        if schedules[role]["source"] != "organism":
            raise UserError(
                f"`weights.{role}.source` is {schedules[role]['source']}: it is not trained here.",
                "Set `pairs.n_pairs: 1`.",
            )
    return {role: schedules[role]["seed"] + step for role in ROLES}


def _prepare(workspace: Workspace, number: int, seeds: dict[str, int]) -> Path:
    """The root of a pair's own workspace, outside every out, so that what is trained is kept."""
    root = workspace.store / "pairs" / str(number)
    overlay = {"weights": {role: {"seed": seeds[role]} for role in ROLES}}
    text, _ = profile.merged(workspace.params.read_text(), overlay, f"pair {number}")
    artifacts.write_text(Workspace(root).params, text)
    return root


def _train_all(params_: Params, roots: Sequence[Path], advance: progress.Advance) -> None:
    """Trains the pairs, `n_at_once` of them at a time."""
    context = multiprocessing.get_context("spawn")
    n_done, n_shown = context.Value("q", 0), 0
    waiting, running = list(roots), list[SpawnProcess]()
    try:
        while (waiting or running) and not interruption.requested():
            while waiting and len(running) < params_.n_at_once:
                job = (waiting.pop(0), params_.n_threads, n_done)
                running.append(context.Process(target=_work, args=job))
                running[-1].start()
            time.sleep(_POLL_S)
            advance(n_done.value - n_shown)
            n_shown = n_done.value
            if any(process.exitcode for process in running) and not interruption.requested():
                raise UserError(
                    "Training a further pair failed.",
                    "What the others have done is kept; see the message above and run it again.",
                )
            running = [process for process in running if process.exitcode is None]
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()
    interruption.checkpoint()


def _work(root: Path, n_threads: int, n_done: "Synchronized[int]") -> None:
    """One pair, in a process of its own."""
    from backtracking.stages import weights  # torch: for a study with one pair there is no need

    interruption.install()

    def advance(n: int) -> None:
        with n_done.get_lock():
            n_done.value += n

    try:
        for role in ROLES:
            weights.make(Workspace(root), role, n_threads, advance)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _clean(own: Workspace) -> None:
    """Removes a pair's workspace and checkpoints, of which nothing is needed any more."""
    from backtracking.stages import weights

    for role in ROLES:
        weights.remove_checkpoints(own, role)
    shutil.rmtree(own.root)


if __name__ == "__main__":
    main()
