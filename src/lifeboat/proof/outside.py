"""Links to what neither the commit nor DVC holds: git holds the link, and what is behind it stays.

That is what lies outside of the repository, and what lies in it where git does not look: ignored
folders, `.git/annex`.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from lifeboat.items import Item, Verdict, some
from lifeboat.remotes import remote

_NAMED = 3


def items(top: Path, root: Path, there: Sequence[str], outs: Sequence[str]) -> list[Item]:
    """What is told of the links that lead to something that is there and that nobody else knows.

    Args:
        top: the repository.
        root: the project in it.
        there: files and links that git does not ignore, relative to `top`.
        outs: paths that DVC holds, relative to `top`.
    """
    base, links = os.path.realpath(top), [path for path in there if (top / path).is_symlink()]
    known = {*there, *outs}
    known |= {str(folder) for path in known for folder in PurePosixPath(path).parents}
    led = {path: target for path in links if (target := _leads(base, path, known, outs))}
    within = {path: target for path, target in led.items() if target.is_relative_to(base)}
    return [
        *(_item(top, root, path, outs) for path in led if path not in within),
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


def _item(top: Path, root: Path, path: str, outs: Sequence[str]) -> Item:
    target = Path(os.path.realpath(top / path))
    fact = f"{path} is a link to {target}: the commit holds the link"
    unheld = list(islice(_unheld(top, path, outs), _NAMED + 1))
    if not unheld:
        return Item(f"{fact}, and DVC what is behind it.")
    what = "" if unheld == [path] else f" ({some(unheld, _NAMED)})"
    is_here = remote.same_disk(target, root)
    where = "and IS ONLY ON THIS MACHINE" if is_here else "on another file system"
    verdict: Verdict = "wrong" if is_here else "warning"
    cure = "Put it here instead of the link, or `dvc add` it; or keep it where it outlives this."
    return Item(f"{fact}. NOT SAVED: what is behind it{what}, {where}.", verdict, cure)


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
