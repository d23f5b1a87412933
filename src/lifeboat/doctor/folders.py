"""What the file systems of a project cannot do, and what that costs; really tried."""

import time
from collections.abc import Iterator
from pathlib import Path

from lifeboat import project
from lifeboat.doctor.clock import WARN_S
from lifeboat.items import Item
from lifeboat.stage import abilities
from lifeboat.stage.abilities import Ability, existing

_CURES = {
    abilities.LOCKS: "Mount it with locks (Lustre: `-o flock`), or let one process work here.",
    abilities.WHOLE_LOCKS: "Mount it with locks, or, while no DVC runs: `dvc config --local "
    "core.hardlink_lock true; rm -f .dvc/tmp/lock .dvc/tmp/rwlock.lock`.",
    abilities.LINKS: "Put the project on a disk that links, if it has the room to spare.",
    abilities.RENAMES: "Put the project on another disk.",
}
_CURE = "Nothing needs doing; a local disk has all of it."


def items(root: Path) -> list[Item]:
    """What the disks of a project and of its store cannot do, a line each, or that all is well."""
    by_disk = {_disk(one): one for one in map(existing, (project.store(root), root))}
    return [item for folder in by_disk.values() for item in _items(folder)]


def _disk(folder: Path) -> int:
    return folder.stat().st_dev


def _items(folder: Path) -> list[Item]:
    try:
        refused = {one: said for one in abilities.ALL if (said := abilities.refusal(folder, one))}
        skew = time.time() - abilities.now(folder)
    except OSError as error:
        fact = f"Nothing can be written in {folder}: {error.strerror or error}."
        return [Item(fact, "wrong", "Mend its permissions or its mount, or free some space.")]
    return [*_refusals(folder, refused), *_clock(folder, skew)]


def _refusals(folder: Path, refused: dict[Ability, str]) -> Iterator[Item]:
    for ability, said in refused.items():
        fact = f"{folder} cannot {ability.name} ({said}): {ability.price}."
        verdict = "wrong" if ability is abilities.RENAMES else "warning"
        yield Item(fact, verdict, _CURES.get(ability, _CURE))
    if not refused:
        yield Item(f"The disk of {folder} locks, links, renames and flushes as it should.")


def _clock(folder: Path, skew: float) -> Iterator[Item]:
    if abs(skew) >= WARN_S:
        size = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}"
        fact = f"This machine's clock is {size} that of the disk of {folder}."
        cure = "Set the clock (`sudo timedatectl set-ntp true`): `make` and DVC go by file times."
        yield Item(fact, "warning", cure)
