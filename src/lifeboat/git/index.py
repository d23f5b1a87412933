"""Files of the working tree taken into an index of git, and by name what git cannot take.

git ends at the first file that it does not take (a filter that is not installed or refuses, an end
of line that may not be changed, a file that cannot be read, or is behind a link), and then has none
of all. So the files are halved until the ones that it means stand alone.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lifeboat import processes
from lifeboat.git import lock_file
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

MOST = 500
"""So many files are found one by one; where there are more, something else than a file is wrong."""

_TAKE = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
_FORGET = ("update-index", "--force-remove", "-z", "--stdin")


def take(root: Path, paths: list[str], own: Mapping[str, str] | None = None) -> dict[str, str]:
    """Takes paths as they are; those that git does not take, and what it says of each.

    Args:
        root: the project.
        paths: files, relative to it, that are there or not.
        own: variables that name another index than the user's.

    Raises:
        UserError: where it can take none: the index is locked, the disk is full.
    """
    behind = [path for path in paths if is_behind_a_link(root, path)]
    if said := _told(root, _FORGET, behind, own):  # the link is what is there now
        raise UserError(f"git cannot write a commit: {said}.")
    left = [path for path in paths if path not in set(behind)]
    refused: dict[str, str] = {}
    for _ in lock_file.patiently():  # a file that is being written soon is not any more
        refused = _halved(root, left, own)
        left = list(refused)
        if not left or len(left) > MOST // 10:
            break
    return refused


def told(refused: Mapping[str, str]) -> list[Item]:
    """The files that git does not take, those of one reason together."""
    reasons: dict[str, list[str]] = {}
    for path, said in refused.items():
        reasons.setdefault(said.replace(path, "FILE"), []).append(path)
    return [
        Item(
            f"NOT SAVED, because git does not take it ({said}): {', '.join(sorted(paths))}.",
            "wrong",
            "Mend what git says, or ignore it; all else is in the commit.",
        )
        for said, paths in reasons.items()
    ]


@contextlib.contextmanager
def put_back(root: Path) -> Iterator[None]:
    """Puts the user's index back as it was, byte for byte, where what is done inside fails."""
    index = root / processes.git_line(root, "rev-parse", "--git-path", "index")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "index"
        if index.is_file():
            shutil.copy2(index, copy)  # git goes by its time
        try:
            yield
        except UserError:
            with contextlib.suppress(FileExistsError):  # who has locked it writes it anyway
                _replace(index, copy)
            raise


def _replace(index: Path, copy: Path) -> None:
    lock = index.with_name("index.lock")
    os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    if copy.is_file():
        shutil.copy2(copy, lock)
        lock.replace(index)
    else:
        index.unlink(missing_ok=True)
        lock.unlink()


def _halved(root: Path, paths: list[str], own: Mapping[str, str] | None) -> dict[str, str]:
    refused: dict[str, str] = {}
    blocks = [paths]
    while blocks:
        block = blocks.pop()
        if not (said := _told(root, _TAKE, block, own)):
            continue
        if "index.lock" in said or len(refused) > MOST:
            raise UserError(f"git cannot write a commit: {said}.")
        if len(block) == 1:
            refused[block[0]] = said
        else:
            blocks += [block[len(block) // 2 :], block[: len(block) // 2]]
    return refused


def _told(
    root: Path, command: tuple[str, ...], paths: list[str], own: Mapping[str, str] | None
) -> str:
    """What git says where it does not take all of some paths; nothing where it does."""
    if not paths:
        return ""
    done = processes.git(root, *command, given="\0".join(paths), extra=own)
    return processes.last_lines(done) if done.returncode != 0 else ""


def is_behind_a_link(root: Path, path: str) -> bool:
    """Whether a link is among the folders of a path, where git does not go on."""
    return any((root / folder).is_symlink() for folder in list(Path(path).parents)[:-1])
