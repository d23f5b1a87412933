"""Free space against what the next run will write."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.models.sizes import BYTES_BY_DTYPE, Model, models
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat.doctor.links import Links, existing
from lifeboat.items import Item

FLOOR = 1_000_000_000
"""Bytes that stay free: for logs, for git, and for DVC to finish what it is doing."""
_ALLOW = "Allow for its weights twice (cache of the hub, models/), and for its activations."
PROMPT_TOKENS = 64
"""Added to the longest answer where a trace's length is bounded; the organism's are far shorter."""


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
        unknown: models whose size no file here tells.
    """

    bytes: int
    basis: str
    unknown: tuple[str, ...] = ()


def items(root: Path, links: Links) -> list[Item]:
    """Whether what the next run will write fits on the disk of the project.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    wanted = estimate(root, links)
    free = min(shutil.disk_usage(existing(folder)).free for folder in (root, links.cache))
    copies = "two copies" if links.n_copies == 2 else "one copy"
    fact = (
        f"{free / 1e9:.1f} GB are free on the disk of the project; the next run writes about "
        f"{wanted.bytes / 1e9:.1f} GB ({copies} of each result; {wanted.basis})."
    )
    unknown = [
        Item(f"How much `{name}` will write is not known.", "warning", _ALLOW)
        for name in wanted.unknown
    ]
    if free < wanted.bytes * 1.05 + FLOOR:
        cure = "Free some space (`backtracking store prune`, `dvc gc --workspace`) or ask for less."
        return [Item(fact, "wrong", cure), *unknown]
    return [Item(fact), *unknown]


def estimate(root: Path, links: Links) -> Estimate:
    """What the next run writes: sizes of dvc.lock, else a bound where that is of another study.

    A stage whose code alone has changed is not counted: it writes about as much as it did.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    outs = recorded(root)
    if not outs or not all(out.same for out in outs):
        return _bound(root, links, outs)
    missing = [out for out in outs if not (root / out.path).exists()]
    n_bytes = sum(
        out.bytes * (links.n_shard_copies if _is_store(out.path) else links.n_copies)
        for out in missing
    )
    return Estimate(n_bytes, "sizes in dvc.lock" if missing else "every result is there")


def recorded(root: Path) -> list[Recorded]:
    """The outs that dvc.lock has a size of, and whether their parameters stand.

    Raises:
        UserError: where params.yaml or dvc.lock cannot be read.
    """
    if not (root / "dvc.lock").is_file():
        return []
    now = params.read(Workspace(root).params)
    stages = params.read(root / "dvc.lock").get("stages")
    return [out for stage in _dicts(stages) for out in _outs(stage, now)]


def _outs(stage: dict[str, Any], now: dict[str, Any]) -> Iterable[Recorded]:
    then = (stage.get("params") or {}).get("params.yaml") or {}
    same = all(_equal(_value(now, str(name)), value) for name, value in then.items())
    for out in stage.get("outs") or []:
        if isinstance(out, dict) and isinstance(out.get("size"), int):
            yield Recorded(str(out.get("path")), out["size"], same)


def _bound(root: Path, links: Links, outs: list[Recorded]) -> Estimate:
    """At most this much, for a study that has not run here."""
    found = models(root)
    unknown = tuple(sorted({m.source for m in found if not m.n_layers or not m.n_parameters}))
    activations = sum(_activation_bytes(root, model) for model in found)
    weights = sum(_weight_bytes(root, model, links) for model in found)
    others = sum(out.bytes for out in outs if not _is_store(out.path))
    n_bytes = activations * links.n_shard_copies + weights + others * links.n_copies
    return Estimate(n_bytes, "a bound from params.yaml", unknown)


def _activation_bytes(root: Path, model: Model) -> int:
    """Bytes of the activations of all sampled traces, were each as long as it may be."""
    now = params.read(Workspace(root).params)
    extract = now.get("extract") or {}
    layers = extract.get("layers")
    n_layers = len(layers) if isinstance(layers, list) else model.n_layers or 0
    width = BYTES_BY_DTYPE.get(str(extract.get("dtype")), 4) * (model.d_model or 0)
    n_traces = _number(now, "problems.n_study") * _number(now, "traces.n_samples")
    n_tokens = n_traces * (_number(now, "traces.max_new_tokens") + PROMPT_TOKENS)
    return n_tokens * (n_layers * width + 3 * 8)


def _weight_bytes(root: Path, model: Model, links: Links) -> int:
    """Bytes of a model's weights: trained here, or taken from the hub's cache into models/."""
    n_bytes = (model.n_parameters or 0) * (4 if model.is_organism else 2)
    if (Workspace(root).model(model.role) / "config.json").is_file():
        return 0
    in_hub_cache = 0 if model.is_here else 1
    return n_bytes * (links.n_copies + in_hub_cache)


def _is_store(path: str) -> bool:
    return path.startswith("data/interim/activations/")


def _number(values: dict[str, Any], name: str) -> int:
    value = _value(values, name)
    return value if isinstance(value, int) else 0


def _value(values: Any, name: str) -> Any:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _equal(now: Any, then: Any) -> bool:
    """Whether two values are one; DVC writes 1e-05 where a parameter file has 1.0e-5."""
    if isinstance(now, dict) and isinstance(then, dict):
        return now.keys() == then.keys() and all(_equal(now[key], then[key]) for key in now)
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(map(_equal, now, then))
    if isinstance(now, float) and isinstance(then, str | int | float):
        try:
            return now == float(then)
        except ValueError:
            return False
    return now == then


def _dicts(value: object) -> list[dict[str, Any]]:
    found = list(value.values()) if isinstance(value, dict) else []
    return [each for each in found if isinstance(each, dict)]
