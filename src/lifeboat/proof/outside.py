"""Links that lead out of the repository: git holds the link, and what is behind it stays."""

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lifeboat.items import Item, Verdict, some
from lifeboat.remotes import remote

_NAMED = 3


def items(top: Path, root: Path, there: Sequence[str], outs: Sequence[str]) -> list[Item]:
    """What is told of each link that leads out of the repository to something that is there.

    Args:
        top: the repository.
        root: the project in it.
        there: files and links that git does not ignore, relative to `top`.
        outs: paths that DVC holds, relative to `top`.
    """
    return [_item(top, root, path, outs) for path in there if _leads_out(top, path)]


def _leads_out(top: Path, path: str) -> bool:
    target = Path(os.path.realpath(top / path))
    is_link = (top / path).is_symlink()
    return is_link and target.exists() and not target.is_relative_to(os.path.realpath(top))


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
