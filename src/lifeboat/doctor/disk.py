"""Free space against what the next run will write."""

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifeboat import project
from lifeboat.doctor.links import Links
from lifeboat.items import Item
from lifeboat.stage import abilities

FLOOR = 1_000_000_000
"""Bytes that stay free: for logs, for git, and for DVC to finish what it is doing."""


@dataclass(frozen=True)
class Recorded:
    """An out of dvc.lock.

    Attributes:
        path: relative to the project.
        bytes: of its last version.
        same: whether the stage's parameters are now what they were then.
    """

    path: str
    bytes: int
    same: bool


@dataclass(frozen=True)
class Estimate:
    """What the next run will write.

    Attributes:
        bytes: on the disk, every copy counted.
        basis: where the number comes from.
        is_most: whether it is a bound, and no expectation.
    """

    bytes: int
    basis: str
    is_most: bool = False


def items(root: Path, links: Links) -> list[Item]:
    """Whether what the next run will write fits on the disk, as far as dvc.lock tells what that is.

    Raises:
        UserError: where dvc.lock or a parameter file cannot be read.
    """
    wanted = recorded_estimate(root, links)
    if wanted is not None:
        return [fits(root, links, wanted)]
    free, fact = free_bytes(root, links), "what the next run writes is not recorded in dvc.lock"
    verdict = "warning" if free < FLOOR else "ok"
    return [Item(f"{_said(free)} on the disk of the project; {fact}.", verdict)]


def fits(root: Path, links: Links, wanted: Estimate) -> Item:
    """Whether so much fits on the disks of the project and of DVC's cache."""
    free = free_bytes(root, links)
    copies = "two copies" if links.n_copies == 2 else "one copy"
    how = "at most" if wanted.is_most else "about"
    fact = (
        f"{_said(free)} on the disk of the project; the next run writes {how} "
        f"{wanted.bytes / 1e9:.1f} GB ({copies} of each result; {wanted.basis})."
    )
    if free < wanted.bytes * 1.05 + FLOOR:
        cure = "Free some space (`lifeboat store prune`, `dvc gc --workspace`) or ask for less."
        return Item(fact, "wrong", cure)
    return Item(fact)


def free_bytes(root: Path, links: Links) -> float:
    """Bytes that the project and DVC's cache can both still have; infinite where no disk tells."""
    told = (abilities.free_bytes(folder) for folder in (root, links.cache))
    return min((free for free in told if free is not None), default=math.inf)


def _said(free: float) -> str:
    return f"{free / 1e9:.1f} GB are free" if free < math.inf else "Nobody says how much is free"


def recorded_estimate(root: Path, links: Links) -> Estimate | None:
    """What the next run writes by the sizes of dvc.lock; None where that is of another study.

    A stage whose code alone has changed is not counted: it writes about as much as it did.

    Raises:
        UserError: where dvc.lock or a parameter file cannot be read.
    """
    outs = recorded(root)
    if not outs or not all(out.same for out in outs):
        return None
    missing = [out for out in outs if not (root / out.path).exists()]
    store = project.store(root)
    n_bytes = sum(
        out.bytes * (links.n_shard_copies if (store / out.path).is_dir() else links.n_copies)
        for out in missing
    )
    return Estimate(n_bytes, "sizes in dvc.lock" if missing else "every result is there")


def recorded(root: Path) -> list[Recorded]:
    """The outs that dvc.lock has a size of, and whether their parameters stand.

    Raises:
        UserError: where dvc.lock or a parameter file cannot be read.
    """
    if not (root / "dvc.lock").is_file():
        return []
    parameters = functools.cache(_parameters)
    return [
        Recorded(str(out.get("path")), out["size"], _is_same(root, stage, parameters))
        for stage in _dicts(project.read_yaml(root / "dvc.lock").get("stages"))
        for out in _dicts(stage.get("outs"))
        if isinstance(out.get("size"), int)
    ]


def _is_same(root: Path, stage: dict[str, Any], parameters: Callable[[Path], Any]) -> bool:
    """Whether the parameters of a stage of dvc.lock are what they were then."""
    return all(
        _value(parameters(root / file), name) == value
        for file, then in (stage.get("params") or {}).items()
        for name, value in then.items()
    )


def _parameters(path: Path) -> dict[str, Any]:
    """The values of a parameter file of YAML; one of another format counts as changed."""
    return project.read_yaml(path) if path.suffix in (".yaml", ".yml") else {}


def _value(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _dicts(value: object) -> list[dict[str, Any]]:
    """Those of some values that are dicts."""
    values = value.values() if isinstance(value, dict) else value
    return (
        [each for each in values if isinstance(each, dict)] if isinstance(values, Iterable) else []
    )
