"""What git ignores and DVC does not know: it is on this machine only, and perhaps nobody meant it.

A rule that ignores what DVC holds (`/data/*/*`) was made for that. A file that it ignores as well,
and that is no out, has fallen between the two; so has an out that DVC is told not to keep, and a
file in an out that DVC leaves out of it. What DVC itself writes is needed to find the data. What
other rules ignore, the user has chosen.
"""

import os
from collections.abc import Iterator, Sequence, Set
from itertools import islice
from pathlib import Path, PurePosixPath

from lifeboat import processes
from lifeboat.git import index
from lifeboat.items import Item, Verdict
from lifeboat.proof.pipeline import Kept

_MADE_AGAIN = {
    *(".cache", ".venv", "venv", "node_modules", "__pycache__", ".ipynb_checkpoints"),
    *(".eggs", ".nox", ".tox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *(".DS_Store", ".git"),  # the history of repositories inside is not promised
}
_BY_DVC = ("/.dvc/cache/", "/.dvc/tmp/")
_OF_DVC = {".dvc", ".dvcignore", "dvc.yaml", "dvc.lock"}
_MARKS = ("CACHEDIR.TAG", "pyvenv.cfg")
"""Files by which tools mark a folder that they can make again."""

_TOLD: dict[str, tuple[str, Verdict, str]] = {
    "of DVC": (
        "NOT SAVED: {}: git ignores it, and a clone without it does not find the data.",
        "wrong",
        "`git add --force` it.",
    ),
    "fallen": (
        "NOT SAVED: {}: git ignores it by a rule for what DVC holds, and DVC does not know it.",
        "wrong",
        "`dvc add` it (and commit the .dvc file), or remove it.",
    ),
    "uncached": (
        "NOT SAVED: {}: git ignores it by a rule for what DVC holds, and dvc.yaml tells DVC not to "
        "hold it (cache: false).",
        "wrong",
        "`git add --force` it. Where it is of this machine alone, ignore it by a rule of its own, "
        "after that one.",
    ),
    "left out": (
        "NOT SAVED: {}: it lies in what DVC holds, and DVC leaves it out (.dvcignore, a link to a "
        "folder, or a project of its own).",
        "wrong",
        "Take the rule out of .dvcignore (or the link away) and `dvc commit`, or move it.",
    ),
    "chosen": (
        "On this machine only, because git ignores it: {}.",
        "warning",
        "What you need of it: take it out of what git ignores, or, if no stage makes it, `dvc add` "
        "it.",
    ),
}
"""Why neither git nor DVC holds a file, and what is told of those."""


def items(top: Path, ignored: Sequence[str], kept: Kept, start: str = "") -> list[Item]:
    """What is told of ignored files that no tool makes again.

    Args:
        top: the repository.
        ignored: files and folders in it, as git lists them.
        kept: what DVC keeps, relative to it.
        start: how its paths begin where they are told.

    Raises:
        UserError: where git cannot be asked.
    """
    outs, uncached = kept.outs, set(kept.uncached)
    unknown = [path for one in ignored for path in _unknown(top, one.rstrip("/"), outs, uncached)]
    rules = _rules(top, [*unknown, *outs, *(f"{out}/" for out in outs)])
    for_dvc = {rules.get(out) or rules.get(f"{out}/") for out in outs} - {None}
    paths: dict[str, list[str]] = {why: [] for why in _TOLD}
    for path in unknown:
        between = "uncached" if _is_in(path, uncached) else "fallen"
        why = between if rules.get(path) in for_dvc else "chosen"
        paths["of DVC" if _is_of_dvc(PurePosixPath(path)) else why].append(f"{start}{path}")
    left_out = (path for path in kept.left_out if not _is_made_again(top, PurePosixPath(path)))
    paths["left out"] = [f"{start}{path}" for path in left_out if _has_content(top / path)]
    told = ((paths[why], *words) for why, words in _TOLD.items() if paths[why])
    return [Item(fact.format(", ".join(each)), verdict, cure) for each, fact, verdict, cure in told]


def _unknown(top: Path, path: str, outs: Sequence[str], uncached: Set[str]) -> Iterator[str]:
    """An ignored file or folder, or what of a folder neither DVC holds nor a tool makes again.

    A folder in which outs are, kept by DVC or not, is told by what is in it.
    """
    place = PurePosixPath(path)
    if _is_in(path, set(outs)) or _is_made_again(top, place):
        return
    if _is_being_written(place, {*outs, *uncached}):
        return
    file = top / path
    within = any(out.startswith(f"{path}/") for out in (*outs, *uncached))
    if within and not file.is_symlink():
        for _, folders, names in islice(os.walk(file), 1):
            for name in sorted(folders + names):
                yield from _unknown(top, f"{path}/{name}", outs, uncached)
    elif _has_content(file):
        yield path


def _is_in(path: str, outs: Set[str]) -> bool:
    """Whether a path is one of these, or in one of them."""
    place = PurePosixPath(path)
    return not outs.isdisjoint(map(str, (place, *place.parents)))


def _has_content(file: Path) -> bool:
    """Whether it is anything but a folder without files."""
    return file.is_symlink() or not file.is_dir() or any(names for *_, names in os.walk(file))


def _is_of_dvc(place: PurePosixPath) -> bool:
    """Whether DVC writes in it what it holds, and where."""
    return place.name in _OF_DVC or place.suffix == ".dvc" or place.parts[-2:] == (".dvc", "config")


def _is_made_again(top: Path, place: PurePosixPath) -> bool:
    if not _MADE_AGAIN.isdisjoint(place.parts) or place.suffix in (".pyc", ".egg-info"):
        return True
    if any(folder in f"/{place}/" for folder in _BY_DVC):
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
