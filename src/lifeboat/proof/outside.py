"""What neither the commit nor DVC holds, though a link of git's or a stage of DVC's names it.

That is what lies outside of the repository, and, behind links, what lies in it where git does not
look: ignored folders, `.git/annex`.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from lifeboat.items import Item, Verdict, some
from lifeboat.proof.pipeline import Kept
from lifeboat.remotes import remote

_NAMED = 3


def items(top: Path, root: Path, there: Sequence[str], kept: Kept) -> list[Item]:
    """What is told of what links and stages name, that is there and that nobody else knows.

    Args:
        top: the repository.
        root: the project in it.
        there: files and links that git does not ignore, relative to `top`.
        kept: what DVC keeps, relative to it.
    """
    outs = kept.outs
    base, links = os.path.realpath(top), [path for path in there if (top / path).is_symlink()]
    known = {*there, *outs}
    known |= {str(folder) for path in known for folder in PurePosixPath(path).parents}
    led = {path: target for path in links if (target := _leads(base, path, known, outs))}
    within = {path: target for path, target in led.items() if target.is_relative_to(base)}
    stages: dict[str, list[str]] = {}
    for path, stage in kept.outside:
        if os.path.exists(path):
            stages.setdefault(path, []).append(f"`{stage}`")
    return [
        *(_item(top, root, path, outs, _of_link(top, path)) for path in led if path not in within),
        *(
            _item(top, root, path, outs, f"{path}, of {some(names)}, is not in the repository")
            for path, names in stages.items()
        ),
        *_within(top, within),
    ]


def _leads(base: str, path: str, known: set[str], outs: Sequence[str]) -> Path | None:
    """Where a link leads, if that is there and no file, folder or out that is known by itself."""
    link = os.path.join(base, path)
    next_, last = os.path.join(os.path.dirname(link), os.readlink(link)), os.path.realpath(link)
    for way in (path, os.path.relpath(next_, base), os.path.relpath(last, base)):
        is_kept = not {way, *map(str, PurePosixPath(way).parents)}.isdisjoint(outs)
        if is_kept or (way != path and way in known):
            return None
    return Path(last) if os.path.exists(last) else None


def _within(top: Path, led: dict[str, Path]) -> list[Item]:
    """What is told of the links to what lies in the repository."""
    lost = {path: target for path, target in led.items() if any(_unheld(top, path, ()))}
    if not lost:
        return []
    behind = some([os.path.relpath(target, os.path.realpath(top)) for target in lost.values()])
    fact = f"NOT SAVED: {', '.join(lost)}: the commit holds the link alone, and neither git nor"
    cure = "Put it here instead of the link, or `dvc add` it."
    return [Item(f"{fact} DVC has what is behind it ({behind}).", "wrong", cure)]


def _of_link(top: Path, path: str) -> str:
    return f"{path} is a link to {os.path.realpath(top / path)}: the commit holds the link"


def _item(top: Path, root: Path, path: str, outs: Sequence[str], fact: str) -> Item:
    target = Path(os.path.realpath(top / path))
    unheld = list(islice(_unheld(top, path, outs), _NAMED + 1))
    if not unheld:
        return Item(f"{fact}, and DVC what is there.")
    what = "" if unheld == [path] else f" ({some(unheld, _NAMED)})"
    is_here = remote.same_disk(target, root)
    where = "and IS ONLY ON THIS MACHINE" if is_here else "on another file system"
    verdict: Verdict = "wrong" if is_here else "warning"
    cure = "Put it into the repository, or `dvc add` it; or keep it where it outlives this."
    return Item(f"{fact}. NOT SAVED: what is there{what}, {where}.", verdict, cure)


def _unheld(top: Path, path: str, outs: Sequence[str]) -> Iterator[str]:
    """Files behind a link that have content and are in no out of DVC."""
    if not (top / path).is_dir():
        yield path
        return
    for folder, folders, names in os.walk(top / path):
        start = os.path.relpath(folder, top)
        folders[:] = [name for name in folders if os.path.join(start, name) not in outs]
        for name in names:
            file = os.path.join(start, name)
            if file not in outs and os.path.lexists(top / file) and (top / file).lstat().st_size:
                yield file
