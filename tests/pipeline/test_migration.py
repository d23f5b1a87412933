"""A study that is thrown from machine to machine, each of which ends suddenly."""

import json
import random
import re
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from metadata_service import MetadataService
from migrating import Machine, make_origin, wait_until
from project import call
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow

SEED = 20261125
N_IN_HAND = 1
"""Asked to stop, a stage finishes the shard or batch in hand, which may not be sent any more."""

INTERVAL = 50
"""Optimizer steps between two checkpoints: `checkpoint_every` of the tiny study."""


def has_parts(stage: str) -> bool:
    """Whether a stage saves its work while it runs."""
    return stage.startswith(("weights", "traces", "extract"))


N_ROLES = 1
"""Roles in whose stages it is killed, of the stages that there are once a role."""


def to_kill(project: Path, rng: random.Random) -> list[str]:
    """Every stage, in order; of those that there are once a role, of some roles drawn at random."""
    by_stage: dict[str, list[str]] = {}
    for name in recorded(project):
        by_stage.setdefault(name.partition("@")[0], []).append(name)
    chosen = {one for its in by_stage.values() for one in rng.sample(its, k=min(N_ROLES, len(its)))}
    return [name for name in recorded(project) if name in chosen]


def recorded(project: Path) -> list[str]:
    """The stages of dvc.lock, in the order in which they ended first, but for smoke."""
    return [stage for stage in locked(project) if stage != "smoke"]


def locked(project: Path) -> dict[str, Any]:
    """What dvc.lock records, by stage."""
    return YAML(typ="safe").load((project / "dvc.lock").read_text())["stages"]


def results(project: Path) -> dict[str, Any]:
    """What the lock records of every stage, and the results and figures that git holds."""
    listed = call(project, "git", "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    names = [name for name in listed if name.startswith(("results/", "figures/"))]
    files = {name: (project / name).read_bytes() for name in sorted(names)}
    return files | {stage: locked(project)[stage] for stage in recorded(project)}


def test_killed_in_every_stage_and_restored_elsewhere_it_ends_in_the_same_results(
    project: Path, tmp_path: Path
) -> None:
    """What ran once of other roles than those that are drawn is there from the beginning."""
    rng = random.Random(SEED)
    seconds = json.loads((project / "logs" / "reproduce.json").read_text())["seconds"]
    wanted, killed = to_kill(project, rng), list[str]()
    with ExitStack() as machines:
        origin = make_origin(tmp_path, project, wanted)
        machine = machines.enter_context(Machine(origin, "machine-0"))
        will_run = stages_to_run(machine.restore())
        assert sorted(will_run) == sorted(wanted)
        for stage in wanted:
            if stage not in will_run:
                continue
            machine.watch("--every", "0.3s", "--deadline", "2s")
            machine.run()
            made = end_suddenly(machine, stage, seconds[stage], rng)
            killed.append(machine.stages[-1])
            name = f"machine-{len(killed)}"
            last, machine = machine, machines.enter_context(Machine(machine.origin, name))
            will_run = stages_to_run(machine.restore())
            require_little_lost(last, machine, will_run, made)
        machine.run()
        assert machine.wait("repro") == 0, machine.said("repro")
    assert results(machine.root) == results(project)
    assert len(set(killed)) >= 0.8 * len(wanted), killed


def end_suddenly(machine: Machine, stage: str, seconds: float, rng: random.Random) -> set[str]:
    """Kills everything at a random moment in a stage.

    The clock of a stage with checkpoints or shards stops after a random number of them, for as long
    as it takes to send them: in a real study each takes minutes.

    Returns:
        The checkpoints and records of shards that the stage has made.
    """
    machine.wait_for_stage(stage)
    before = machine.parts()

    def made() -> set[str]:
        return {path for path, written in machine.parts().items() if before.get(path) != written}

    def is_over() -> bool:
        return machine.stages[-1] != stage

    if has_parts(stage):
        n_parts = rng.randint(1, 2)
        wait_until(lambda: len(made()) >= n_parts or is_over(), 300, 0.001)
        time.sleep(rng.uniform(0, 0.5) if stage.startswith("weights@") else 0)
        machine.freeze()
        if not is_over():
            assert wait_until(lambda: machine.has_sent(made()), 120), machine.said("watch")
    else:
        wait_until(is_over, rng.uniform(0.1, 0.9) * seconds)
    machine.kill()
    return made()


def stages_to_run(said: str) -> list[str]:
    """The stages that restore says will run, in order."""
    found = re.search(r"stages? will run: (.*); ", said)
    assert found, said
    return [name for name in re.sub(r" \([^)]*\)", "", found[1]).split(", ") if name != "smoke"]


def require_little_lost(last: Machine, new: Machine, will_run: list[str], made: set[str]) -> None:
    """What is done again is the stage that was killed, from its last checkpoint or sent shard on.

    What was made before has been sent, so only the shard or batch in hand is computed again. What
    ended within the last two seconds may not have been sent either: of such short stages two.
    """
    *finished, killed = last.stages
    again = [stage for stage in finished if stage in will_run]
    assert again in ([], finished[-1:], finished[-2:]), (again, last.said("watch"))
    if killed in will_run:
        for training, n_steps in last.checkpoints().items():
            assert n_steps - new.checkpoints().get(training, 0) <= INTERVAL
        if killed.startswith(("traces", "extract")):
            assert len(made - new.parts().keys()) <= N_IN_HAND


def entry(project: Path, stage: str) -> Any:
    """What dvc.lock records of a stage."""
    return locked(project)[stage]


def test_a_notice_of_aws_in_the_middle_of_extraction_costs_no_shard(
    project: Path, tmp_path: Path
) -> None:
    stage = "extract@base"
    with (
        Machine(make_origin(tmp_path, project, [stage]), "first") as first,
        MetadataService() as service,
    ):
        assert stages_to_run(first.restore()) == [stage]
        first.watch("--every", "0.3s", "--aws", "--metadata-url", service.url)
        first.wait_until_said("watch", "is on main of")
        first.run(stage)
        wait_until(first.parts, 300, 0.001)
        first.freeze()
        made = first.parts().keys()
        assert wait_until(lambda: first.has_sent(made), 60), first.said("watch")
        service.give_notice(120)
        first.wait_until_said("watch", "NOTICE: AWS will terminate this instance at ")
        assert wait_until(first.is_asked_to_stop, 60), first.said("watch")
        first.thaw()
        first.wait("watch", 120)
        first.wait("repro", 120)
    assert "Stopped where their work is saved: extract@base" in first.said("watch")
    assert "exited with 75" in first.said("repro")
    with Machine(first.origin, "second") as second:
        assert stages_to_run(second.restore()) == [stage]
        assert second.parts().keys() == first.parts().keys()
        second.run(stage)
        assert second.wait("repro") == 0, second.said("repro")
    counts = re.search(r"in (\d+) units, (\d+) of them computed now", second.said("repro"))
    assert counts
    n_units, n_computed = map(int, counts.groups())
    kept = {Path(path).name.split(".")[0] for path in first.parts()}
    assert kept and n_computed == n_units - len(kept)
    assert entry(second.root, stage) == entry(project, stage)
