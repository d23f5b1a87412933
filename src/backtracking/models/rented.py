"""What the verbs of overlays say of machines: which GPU, how much memory and disk, hours, price."""

from pathlib import Path
from typing import Any

from backtracking.models import cost
from backtracking.models.cost import Gpu, Needs
from backtracking.runtime import pins, profile
from lifeboat.items import Item

HEAD = (
    "| overlay | GPU | memory | disk | hours | at {price:.2f} an hour |\n|---|---|---|---|---|---|"
)


def listed(root: Path, price: float) -> list[Item]:
    """Every overlay, what it is, and what it needs where it runs published models.

    Args:
        root: the project's folder.
        price: of an hour of a GPU.

    Raises:
        UserError: where an overlay does not fit params.yaml.
    """
    return [_line(root, name, price) for name in profile.names(root)]


def shown(root: Path, name: str, gpu: str | None, price: float) -> list[Item]:
    """One overlay: what it is, its models and their revisions, and what it needs.

    Args:
        root: the project's folder.
        name: of the overlay.
        gpu: on which; by default the smallest that has the memory.
        price: of an hour of it.

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
    return said + _needs(values, gpu, price)


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


def _needs(values: dict[str, Any], gpu: str | None, price: float) -> list[Item]:
    found = _sized(values, gpu)
    if found is None:
        return []
    name, needed = found
    on = cost.gpu_of(name)
    fits = needed.gpu_bytes <= on.gigabytes * 1e9
    cure = "" if fits else "Take a larger GPU, or lower batch sizes and rows in the overlay."
    said = [Item(_told(needed, name, on, price), "ok" if fits else "wrong", cure)]
    by_stage = ", ".join(f"{stage} {value:.1f}" for stage, value in needed.hours_by_stage.items())
    said.append(Item(f"Hours by stage: {by_stage}. Neither pilots nor repeats are in them."))
    if needed.unknown:
        fact = f"Not counted, since their shape is not known: {', '.join(needed.unknown)}."
        said.append(Item(fact, "warning"))
    return said


def _sized(values: dict[str, Any], gpu: str | None) -> tuple[str, Needs] | None:
    """A GPU and what is needed of it; None where the studied model is no published one."""
    largest = max(cost.GPUS, key=lambda one: cost.GPUS[one].gigabytes)
    needed = cost.needs(values, cost.gpu_of(gpu or largest))
    if not needed.gpu_bytes:
        return None
    name = gpu or cost.smallest(needed) or largest
    return name, cost.needs(values, cost.gpu_of(name))


def _told(needed: Needs, name: str, gpu: Gpu, price: float) -> str:
    return (
        f"On one {name}: {needed.gpu_bytes / 1e9:.0f} of {gpu.gigabytes:.0f} GB of its memory, "
        f"{needed.disk_bytes / 1e9:.0f} GB of disk, {needed.hours:.1f} hours, "
        f"{needed.hours * price:.2f} at {price:.2f} an hour."
    )
