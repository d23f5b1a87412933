"""Files of the working tree taken into an index or a tree of git, and by name what git cannot take.

git ends at the first file that it does not take (a filter that is not installed or refuses, an end
of line that may not be changed, a file that cannot be read, or is behind a link), and then has none
of all. So the files are halved until the ones that it means stand alone; where these are many, all
that have their filter are left out with them.
"""

import contextlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lifeboat import processes
from lifeboat.git import lock_file
from lifeboat.items import Item, Verdict
from lifeboat.stage.errors import UserError

MOST = 500
"""So many files are found one by one; where there are more, all with the same filter are meant."""

_FILTERS = ("filter", "working-tree-encoding")

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
    # The link is what is there now.
    if behind and (done := _given(root, _FORGET, behind, own)).returncode != 0:
        raise UserError(f"git cannot write a commit: {processes.last_lines(done)}.")
    left = [path for path in paths if path not in set(behind)]
    refused: dict[str, str] = {}
    for _ in lock_file.patiently():  # a file that is being written soon is not any more
        refused = _halved(root, left, own)
        left = list(refused)
        if not left or len(left) > MOST // 10:
            break
    return refused


def unreadable(root: Path, verdict: Verdict = "warning") -> list[Item]:
    """That git cannot read the user's index, which knows what is committed next; else nothing."""
    if not (found := processes.stand_in(root)):
        return []
    fact = f"git cannot read its index, {found.index}: {found.said}. Backups go by HEAD and the"
    path = shlex.quote(str(found.index))
    cure = f"Run `rm {path}`, then `git reset -q`: no file changes, and nothing is staged."
    return [Item(f"{fact} files; what is staged and in no file nobody can read.", verdict, cure)]


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


@dataclass(frozen=True)
class Tree:
    """A tree that holds files as they are in the working tree.

    Attributes:
        id: git's name of it.
        refused: the files that git did not take, and what it said of each.
    """

    id: str
    refused: dict[str, str]


def tree(root: Path, paths: list[str], lock: str = "", start: str = "HEAD") -> Tree:
    """The tree of a commit with these paths as they are in the working tree.

    Args:
        root: the project.
        paths: files.
        lock: the blob that is to be dvc.lock, instead of the file.
        start: the commit; an empty tree where there is none.

    Raises:
        UserError: where git cannot write it.
    """
    with tempfile.TemporaryDirectory() as folder:
        own = _index_of(root, folder, start)
        refused = take(root, paths, own)
        if lock:
            place = processes.git_line(root, "rev-parse", "--show-prefix") + lock_file.NAME
            entry = f"100644,{lock},{place}"
            require(processes.git(root, "update-index", "--add", "--cacheinfo", entry, extra=own))
        return Tree(require(processes.git(root, "write-tree", extra=own)), refused)


def tree_but(root: Path, start: str, paths: list[str], other: str) -> str:
    """The tree of a commit, but with these paths as another one has them, or without them.

    Args:
        root: the project.
        start: the commit.
        paths: files, relative to the top of the repository.
        other: the other commit; empty where there is none.

    Raises:
        UserError: where git cannot write it.
    """
    listed = ("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", other, "--", *paths)
    kept = processes.git(root, *listed).stdout if other else ""
    gone = "".join(f"0 {'0' * len(start)}\t{path}\0" for path in paths)
    with tempfile.TemporaryDirectory() as folder:
        own, words = _index_of(root, folder, start), ("update-index", "-z", "--index-info")
        require(processes.git(root, *words, given=gone + kept, extra=own))
        return require(processes.git(root, "write-tree", extra=own))


def _index_of(root: Path, folder: str, start: str) -> dict[str, str]:
    """Variables that name an index of our own in a folder, which holds what a commit does."""
    own = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
    first = processes.git_id(root, start) or "--empty"
    require(processes.git(root, "read-tree", first, extra=own))
    return own


def attributes(root: Path, paths: list[str], name: str) -> dict[str, str]:
    """What git's attribute of a name is for each of some files."""
    words, given = ("check-attr", "-z", "--stdin", name), "\0".join(paths)
    fields = processes.git(root, *words, given=given).stdout.split("\0")
    return dict(zip(fields[::3], fields[2::3], strict=False))


def require(finished: processes.Finished) -> str:
    """What git has said, in one line.

    Raises:
        UserError: where it failed.
    """
    if finished.returncode != 0:
        raise UserError(f"git cannot write a commit: {processes.last_lines(finished)}.")
    return finished.stdout.strip()


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
    blocks, said = [paths], ""
    while blocks:
        if not (block := blocks.pop()):
            continue
        done = _given(root, _TAKE, block, own)
        if done.returncode == 0:
            refused |= _passed_over(block, done.stderr)
            continue
        said, is_many = processes.last_lines(done), len(refused) >= MOST
        if "index.lock" in said or (is_many and "into database" in done.stderr):  # a full disk
            raise UserError(f"git cannot write a commit: {said}.")
        if len(block) > 1:
            blocks += [block[len(block) // 2 :], block[: len(block) // 2]]
            continue
        refused[block[0]] = said
        if is_many and (same := _alike(root, block[0], [path for each in blocks for path in each])):
            refused |= {path: said.replace(block[0], path) for path in same}
            blocks = [[path for path in each if path not in refused] for each in blocks]
    if len(refused) == len(paths) > MOST:
        raise UserError(f"git cannot write a commit: {said}.")
    return refused


def _alike(root: Path, one: str, paths: list[str]) -> set[str]:
    """The paths that git filters as it does one of them."""
    found = set[str]()
    for name in _FILTERS:
        values = attributes(root, [one, *paths], name)
        if (value := values.pop(one)) not in ("unspecified", "unset"):
            found |= {path for path in paths if values[path] == value}
    return found


def _given(
    root: Path, command: tuple[str, ...], paths: list[str], own: Mapping[str, str] | None
) -> processes.Finished:
    return processes.git(root, *command, given="\0".join(paths), extra=own)


def _passed_over(paths: list[str], said: str) -> dict[str, str]:
    """The files that git did not take and called it a success: their names mean something to it."""
    names = said.splitlines() if "Ignoring path" in said else ()
    return {path: "it has such a name" for path in paths if f"Ignoring path {path}" in names}


def is_behind_a_link(root: Path, path: str) -> bool:
    """Whether a link is among the folders of a path, where git does not go on."""
    return any((root / folder).is_symlink() for folder in list(Path(path).parents)[:-1])
