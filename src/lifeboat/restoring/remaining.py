"""Which stages will run at the next `dvc repro`, and for how long, as far as that is known.

`dvc repro --dry` does not answer it: it stops at the first stage whose input another stage has yet
to make. So DVC is asked what has changed (`dvc status`), and its graph what hangs on that.
"""

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifeboat import processes
from lifeboat.git import lock_file
from lifeboat.items import Item, counted
from lifeboat.proof.pipeline import index, opened, readable, stage_name
from lifeboat.stage.errors import UserError

_NO_MAKER = "It is no stage's out and cannot be made again: add it again with `dvc add`."


@dataclass(frozen=True)
class Remaining:
    """What the next `dvc repro` has to do.

    Attributes:
        certain: stages that will run, in the order of the pipeline.
        possible: stages that will run if what they read comes out different from dvc.lock.
        lost: .dvc files whose recorded data is not in the workspace, which no stage makes.
    """

    certain: tuple[str, ...]
    possible: tuple[str, ...]
    lost: tuple[str, ...]


def remaining(root: Path) -> Remaining:
    """What the next `dvc repro` has to do.

    Raises:
        UserError: where DVC cannot say it.
    """
    changes, (pipeline, lost) = _changes(root), _pipeline(root)
    certain: list[str] = []

    def is_remade(path: str) -> bool:
        place = root.resolve() / path
        outs = [out for stage in certain for out in pipeline[stage].outs]
        return any(place.is_relative_to(out) or out.is_relative_to(place) for out in outs)

    for name, stage in pipeline.items():
        # Inputs that another stage will make again are no reason to run, unless they change.
        own = _must_run(changes.get(name, []), is_remade)
        if own or (name in changes and stage.above.isdisjoint(certain)):
            certain.append(name)
    possible = [name for name, stage in pipeline.items() if not stage.above.isdisjoint(certain)]
    return Remaining(
        tuple(certain),
        tuple(name for name in possible if name not in certain),
        lost,
    )


def told(found: Remaining, seconds: dict[str, float]) -> list[Item]:
    """The stages that will run, with what is known of their time, as items."""
    items = [Item(f"{name} has no data here.", "wrong", _NO_MAKER) for name in found.lost]
    if not found.certain:
        return [*items, Item("No stage will run again: all that dvc.lock records is here.")]
    named = [f"{stage} ({_about(seconds.get(stage))})" for stage in found.certain]
    known = [seconds[stage] for stage in found.certain if stage in seconds]
    n_unknown = len(named) - len(known)
    total = f"about {duration(sum(known))} in all" if known else "for a time that is not known"
    beside = f" and {counted(n_unknown, 'stage')} of unknown time" if known and n_unknown else ""
    stages = counted(len(named), "stage")
    items.append(Item(f"{stages} will run: {', '.join(named)}; {total}{beside}."))
    if found.possible:
        fact = "Only if what they read comes out different from dvc.lock"
        items.append(Item(f"{fact}: {', '.join(found.possible)}."))
    return items


def duration(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _about(seconds: float | None) -> str:
    return "time unknown" if seconds is None else f"about {duration(seconds)}"


def _changes(root: Path) -> dict[str, list[Any]]:
    """What differs from dvc.lock, by stage or .dvc file, as DVC tells it."""
    status = processes.dvc(root, "--wait-for-lock", "status", "--json")
    try:
        value = json.loads(status.stdout)
    except ValueError:
        lock_file.require_merged(root)
        said = processes.last_lines(status)
        raise UserError(f"DVC cannot say which stages are finished: {said}.") from None
    return {str(name): list(found) for name, found in value.items()}


@dataclass(frozen=True)
class _Stage:
    """A stage: all those that it hangs on, and what it makes."""

    above: frozenset[str]
    outs: tuple[Path, ...]


def _pipeline(root: Path) -> tuple[dict[str, _Stage], tuple[str, ...]]:
    """The stages, each behind all that it hangs on; and the .dvc files whose data is not here."""
    import networkx
    from dvc.stage import PipelineStage

    found: dict[str, _Stage] = {}
    with opened(root) as repo, readable(root, "The pipeline"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a library of DVC's
        graph, outs = repo.index.graph, index(repo).outs
        absent = {out.stage for out in outs if out.hash_info and not out.exists}
        gone = [one for one in absent if not isinstance(one, PipelineStage)]
        lost = sorted(stage_name(one, repo.root_dir) for one in gone)
        for one in networkx.dfs_postorder_nodes(graph):
            if isinstance(one, PipelineStage):
                above = networkx.descendants(graph, one)
                names = {str(other.name) for other in above if isinstance(other, PipelineStage)}
                made = tuple(Path(out.fs_path) for out in one.outs)
                found[str(one.name)] = _Stage(frozenset(names), made)
    return found, tuple(lost)


def _must_run(changes: list[Any], is_remade: Callable[[str], bool]) -> bool:
    """Whether a stage runs for a reason of its own: any change but an input that is missing.

    A folder that holds the outs of several stages is changed where one of them is missing: what a
    stage that runs makes, or makes a part of, counts as missing.
    """
    for change in changes:
        if not isinstance(change, dict) or change.get("changed outs"):
            return True
        read = change.get("changed deps", {})
        if any(state != "deleted" and not is_remade(path) for path, state in read.items()):
            return True
    return False
