"""What git ignores and DVC does not know: it is on this machine only, and perhaps nobody meant it.

A rule that ignores what DVC holds (`/data/*/*`) was made for that. A file that it ignores as well,
and that is no out, has fallen between the two. What other rules ignore, the user has chosen.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from lifeboat import processes
from lifeboat.git import index
from lifeboat.items import Item

_MADE_AGAIN = {
    *(".cache", ".dvc", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints"),
    *(".eggs", ".nox", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
}
_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")
"""Files by which tools mark a folder that they can make again."""


def items(top: Path, ignored: Sequence[str], outs: Sequence[str]) -> list[Item]:
    """What is told of ignored files that no tool makes again.

    Args:
        top: the repository.
        ignored: files and folders in it, as git lists them.
        outs: paths that DVC holds, relative to it.

    Raises:
        UserError: where git cannot be asked.
    """
    unknown = [path for each in ignored for path in _unknown(top, each.rstrip("/"), set(outs))]
    rules = _rules(top, [*unknown, *outs, *(f"{out}/" for out in outs)])
    for_dvc = {rules.get(out) or rules.get(f"{out}/") for out in outs} - {None}
    fallen = [path for path in unknown if rules.get(path) in for_dvc]
    found = []
    if fallen:
        fact = f"NOT SAVED: {', '.join(fallen)}: git ignores it by a rule for what DVC holds, and"
        cure = "`dvc add` it (and commit the .dvc file), or remove it."
        found.append(Item(f"{fact} DVC does not know it.", "wrong", cure))
    if chosen := [path for path in unknown if path not in fallen]:
        fact = f"On this machine only, because git ignores it: {', '.join(chosen)}."
        cure = "What you need of it: `dvc add` it, or take it out of what git ignores."
        found.append(Item(fact, "warning", cure))
    return found


def _unknown(top: Path, path: str, outs: set[str]) -> Iterator[str]:
    """An ignored file or folder, or what of a folder neither DVC holds nor a tool makes again."""
    place = PurePosixPath(path)
    if not outs.isdisjoint(map(str, (place, *place.parents))) or _is_made_again(top, place):
        return
    if _is_being_written(place, outs):
        return
    file = top / path
    if any(out.startswith(f"{path}/") for out in outs) and not file.is_symlink():
        for _, folders, names in islice(os.walk(file), 1):
            for name in sorted(folders + names):
                yield from _unknown(top, f"{path}/{name}", outs)
    elif file.is_symlink() or not file.is_dir() or any(names for *_, names in os.walk(file)):
        yield path


def _is_made_again(top: Path, place: PurePosixPath) -> bool:
    if not _MADE_AGAIN.isdisjoint(place.parts) or place.suffix in (".pyc", ".egg-info"):
        return True
    return any((top / place / name).is_file() for name in _MARKS)


def _is_being_written(place: PurePosixPath, outs: set[str]) -> bool:
    """Whether it has the name under which a stage writes an out before it is whole."""
    beside = (PurePosixPath(out) for out in outs)
    return any(
        out.parent == place.parent and place.name.startswith(f".{out.name}.") for out in beside
    )


def _rules(top: Path, paths: list[str]) -> dict[str, tuple[str, ...]]:
    """The rule by which git ignores each path, as file, line and pattern."""
    asked = "\0".join(
        path for path in dict.fromkeys(paths) if not index.is_behind_a_link(top, path)
    )
    words = ("check-ignore", "--no-index", "--verbose", "-z", "--stdin")
    fields = processes.git(top, *words, given=asked).stdout.split("\0")
    rows = zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=False)
    return {path: rule for *rule_, path in rows for rule in [tuple(rule_)] if path}
