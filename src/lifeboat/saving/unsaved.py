"""Work in the workspace that no remote can hold, because no run of it has finished.

DVC pushes what dvc.lock records: the last finished run. Of a stage that was killed, or whose out
was changed since, that is yesterday's version. No lock of DVC is taken.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lifeboat.items import Item
from lifeboat.proof import pipeline, targets
from lifeboat.proof.expected import Out
from lifeboat.proof.pipeline import index, opened, readable, stage_name

if TYPE_CHECKING:
    from dvc.repo import Repo

CURE = "Run `lifeboat reproduce`, then `lifeboat backup`."


@dataclass(frozen=True)
class Unsaved:
    """Stages and outs whose last run no remote can hold.

    Attributes:
        unfinished: stages that dvc.lock has no complete entry of.
        killed: stages that are out of date and whose out is gone: a run was begun.
        changed: outs that are not what dvc.lock records.
        outdated: stages whose code, params or inputs are not those of their last run, whose outs
            are still that run's.
        altered: .dvc files whose data is not what they record.
        empty: .dvc files that record where data is to be had, and none yet.
        unfit: what lies in outs and DVC cannot take; of these outs nothing else is known.
    """

    unfinished: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    outdated: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    unfit: tuple[str, ...] = ()


def items(root: Path, wanted: list[str]) -> list[Item]:
    """What no remote can hold, in sentences.

    Raises:
        UserError: where the pipeline cannot be read.
    """
    found = read(root, wanted)
    told = []
    if found.unfinished:
        fact = f"Never finished: {', '.join(found.unfinished)}; nothing of them is in dvc.lock, so"
        told.append(Item(f"{fact} NOT SAVED as an out.", "wrong", CURE))
    if found.killed:
        fact = f"NOT SAVED: {', '.join(found.killed)} did not finish; what the remote has is of the"
        told.append(Item(f"{fact} run before.", "wrong", CURE))
    return [*told, *differing(found)]


def differing(found: Unsaved) -> list[Item]:
    """What is said of outs and stages that differ from their last finished run."""
    told = []
    if found.unfit:
        fact = f"NOT SAVED, because DVC cannot take it: {', '.join(found.unfit)}; nor is it known"
        cure = "Move it out (a pipe, a socket, a link to nothing, a name that is not UTF-8)."
        told.append(Item(f"{fact} whether the rest is what was saved.", "wrong", cure))
    if found.changed:
        fact = f"NOT SAVED, because it is not what dvc.lock records: {', '.join(found.changed)}."
        told.append(Item(fact, "wrong", CURE))
    if found.outdated:
        fact = f"Out of date: {', '.join(found.outdated)}; only the last finished run can be saved."
        told.append(Item(fact, "warning", CURE))
    if names := " ".join(found.altered):
        fact = f"NOT SAVED, because the data is not what they record: {names}."
        told.append(Item(fact, "wrong", f"Run `dvc commit {names}`, then `lifeboat backup`."))
    if names := " ".join(found.empty):
        fact = f"Imported without data, so there is none to save: {names}."
        told.append(Item(fact, "warning", f"Run `dvc update {names}` if it is to be kept."))
    return told


def read(root: Path, wanted: list[str]) -> Unsaved:
    """Stages and outs of the workspace, or those of some targets, that were never saved as a run.

    Raises:
        UserError: where the pipeline cannot be read.
    """
    unfinished, killed, changed, outdated = set[str](), set[str](), set[str](), set[str]()
    altered, empty, unfit = set[str](), set[str](), set[str]()
    with opened(root) as repo, readable(root, "The pipeline of the workspace"):
        here = Path(repo.root_dir)
        known = index(repo)
        recorded = {out.fs_path: out for out in cast("list[Any]", list(known.outs))}
        for stage in cast("list[Any]", list(known.stages)):
            name = stage_name(stage, repo.root_dir)
            paths = {out: Out(name, _relative(repo, out), "") for out in stage.outs}
            outs = [out for out, meant in paths.items() if targets.touches(meant, here, wanted)]
            if not outs:
                continue
            if any(not out.hash_info for out in outs):
                (empty if stage.is_import else unfinished).add(name)
                continue
            cached = [out for out in outs if out.use_cache]
            there = [out for out in cached if os.path.exists(out.fs_path)]
            odd = {out: list(pipeline.unfit(repo, out.fs_path)) for out in there}
            unfit |= {os.path.relpath(path, here) for paths_ in odd.values() for path in paths_}
            differing = [out for out in there if not odd[out] and out.workspace_status()]
            if name.endswith(".dvc"):
                altered |= {name for _out in differing}
                continue
            changed |= {_relative(repo, out) for out in differing}
            if _is_outdated(stage, recorded):
                gone = [out.hash_info.value for out in cached if out not in there]
                was_begun = any(map(repo.cache.local.exists, gone))
                (killed if was_begun else outdated).add(name)
    found = (unfinished, killed, changed, outdated, altered, empty, unfit)
    return Unsaved(*(tuple(sorted(names)) for names in found))


def _is_outdated(stage: Any, recorded: dict[str, Any]) -> bool:
    """Whether the command, the params or an input differ from the last run's; absent ones do not.

    What another stage makes is compared as dvc.lock records it, without a look at the data.
    """
    if getattr(stage, "cmd_changed", False):
        return True
    for dep in stage.deps:
        maker = recorded.get(dep.fs_path)
        if maker is not None:
            if maker.hash_info and dep.hash_info and maker.hash_info != dep.hash_info:
                return True
        elif any(state != "deleted" for state in dep.workspace_status().values()):
            return True
    return False


def _relative(repo: "Repo", out: Any) -> str:
    return os.path.relpath(out.fs_path, repo.root_dir)
