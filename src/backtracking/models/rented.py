"""What the verbs of overlays say of machines: which GPU, how much memory and disk, hours, price."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backtracking.models import cost
from backtracking.models.cost import Gpu, Needs
from backtracking.models.fitting import Rows
from backtracking.models.footprint import Kind
from backtracking.models.published import SHAPES
from backtracking.runtime import pins, profile
from lifeboat.items import Item

HEAD = (
    "| overlay | GPU | memory | disk | hours | at {price:.2f} an hour |\n|---|---|---|---|---|---|"
)
_WORK: Mapping[Kind, str] = {
    "texts": "traces that are read for their activations",
    "arms": "teacher-forced arms of a trace",
    "prompts": "free runs",
    "draws": "draws after a decision",
    "tails": "edits of a minimal pair",
    "ablated prefixes": "traces whose components are taken away",
}


def listed(root: Path, price: float) -> list[Item]:
    """Every overlay, what it is, and what it needs where it runs published models.

    Args:
        root: the project's folder.
        price: of an hour of a GPU.

    Raises:
        UserError: where an overlay does not fit params.yaml.
    """
    return [_line(root, name, price) for name in profile.names(root)]


def shown(root: Path, name: str, gpu: str | None, price: float, n_gpus: int = 1) -> list[Item]:
    """One overlay: what it is, its models and their revisions, and what it needs.

    Args:
        root: the project's folder.
        name: of the overlay.
        gpu: on which; by default the smallest that has the memory.
        price: of an hour of one.
        n_gpus: how many; a model stands on as few as hold it, which work in turn.

    Raises:
        UserError: where there is no such overlay or GPU, or it does not fit params.yaml.
    """
    values = profile.values_of(root, name)
    said = [Item(f"{name}: {profile.about(root, name)}")]
    for role, one in values["models"]["roles"].items():
        section = values["weights"][role]
        pinned = f" at {at}" if (at := section.get("revision")) else ""
        pair = f", paired with {one['base']}" if one["base"] else ""
        said.append(Item(f"{role}: {section['source']}{pinned}{pair}"))
    return said + _needs(values, gpu, price, n_gpus)


def table(root: Path, price: float) -> str:
    """A row for each overlay that runs published models, for docs/overlays.md."""
    rows = []
    for name in profile.names(root):
        values = profile.values_of(root, name)
        if (found := _sized(values, None)) is not None:
            gpu, one = found
            memory, disk = (f"{n / 1e9:.0f} GB" for n in (one.gpu_bytes, one.disk_bytes))
            hours, cost_ = f"{one.hours:.0f}", f"{one.hours * price:.0f}"
            rows.append(f"| `{name}` | {gpu} | {memory} | {disk} | {hours} | {cost_} |")
    return "\n".join([HEAD.format(price=price), *rows])


def stages_table(root: Path, name: str) -> str:
    """The hours of one overlay, stage by stage."""
    found = _sized(profile.values_of(root, name), None)
    hours = found[1].hours_by_stage if found else {}
    rows = [f"| {stage} | {value:.1f} |" for stage, value in hours.items()]
    return "\n".join(["| stage | hours |", "|---|---|", *rows])


def one_card(gpu: str = "RTX 4090", longest: int = 2000) -> str:
    """What of a model of 8 billion parameters fits one small GPU, for docs/overlays.md."""
    shape, memory = SHAPES["meta-llama/Llama-3.1-8B"], cost.gpu_of(gpu).gigabytes * 1e9
    weights = 2 * shape.n_parameters
    rows = []
    for kind, what in _WORK.items():
        n = Rows("", kind, sys.maxsize, longest, shape, weights, 2).at_once(memory)
        rows.append(f"| {what} | {n} |")
    head = f"| at once, of {longest:,} tokens each, on one {gpu} | rows |\n|---|---|"
    return "\n".join([head, *rows])


def unpinned(root: Path) -> list[Item]:
    """A warning where models of the study are still to be pinned.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    loose = [one for one in pins.hosted(root / "params.yaml") if not one.is_pinned]
    cure = "`backtracking profile pin` asks the hub for the commits; no stage runs before."
    return [Item(f"{pins.told(loose)}.", "warning", cure)] if loose else []


def _line(root: Path, name: str, price: float) -> Item:
    found = _sized(profile.values_of(root, name), None)
    first = profile.about(root, name).split(". ")[0].rstrip(".:")
    if found is None:
        return Item(f"{name}: {first}.")
    gpu, needed = found
    return Item(f"{name}: {first}. {_told(needed, gpu, cost.gpu_of(gpu), price)}")


def _needs(values: dict[str, Any], gpu: str | None, price: float, n_gpus: int) -> list[Item]:
    found = _sized(values, gpu, n_gpus)
    if found is None:
        return []
    name, needed = found
    on = cost.gpu_of(name).times(n_gpus, in_turn=True)
    said = [Item(_told(needed, name, on, price, n_gpus)), *_fits(values, on)]
    by_stage = ", ".join(f"{stage} {value:.1f}" for stage, value in needed.hours_by_stage.items())
    said.append(Item(f"Hours by stage: {by_stage}. Neither pilots nor repeats are in them."))
    if needed.unknown:
        fact = f"Not counted, since their shape is not known: {', '.join(needed.unknown)}."
        said.append(Item(fact, "warning"))
    return said


def _fits(values: dict[str, Any], on: Gpu) -> list[Item]:
    """Whether each stage has room for the rows that it asks for, or for fewer, or for none."""
    at_once = [(one, one.at_once(on.gigabytes * 1e9)) for one in cost.rows_of(values)]
    told = ", ".join(
        f"{one.stage} {n} of {one.asked} {one.kind}" for one, n in at_once if n < one.asked
    )
    if not told:
        return [Item("All rows that are asked for go at once.", "ok")]
    if all(n for _, n in at_once):
        fact = f"Fewer rows go at once than are asked for: {told}. What comes out is the same."
        return [Item(fact, "ok")]
    cure = "Take a larger GPU, more of them, or lower batch sizes and rows in the overlay."
    return [Item(f"Not enough memory for what has to be loaded at once: {told}.", "wrong", cure)]


def _sized(values: dict[str, Any], gpu: str | None, n_gpus: int = 1) -> tuple[str, Needs] | None:
    """A GPU and what is needed of it; None where the studied model is no published one."""
    largest = max(cost.GPUS, key=lambda one: cost.GPUS[one].gigabytes)
    needed = cost.needs(values, cost.gpu_of(gpu or largest))
    if not needed.gpu_bytes:
        return None
    name = gpu or cost.smallest(needed, n_gpus) or largest
    return name, cost.needs(values, cost.gpu_of(name))


def _told(needed: Needs, name: str, gpu: Gpu, price: float, n_gpus: int = 1) -> str:
    which = f"one {name}" if n_gpus == 1 else f"{n_gpus} {name} that work in turn"
    return (
        f"On {which}: {needed.gpu_bytes / 1e9:.0f} GB of memory for all that is asked for, of "
        f"{gpu.gigabytes:.0f}, "
        f"about {needed.disk_bytes / 1e9:.0f} GB of disk, {needed.hours:.1f} hours, "
        f"{n_gpus * needed.hours * price:.2f} at {price:.2f} an hour"
        f"{'' if n_gpus == 1 else ' of each'}."
    )
