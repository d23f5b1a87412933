"""What a folder's file system can do: each ability is tried on files that are made for it.

Nothing here goes by a list of errors. What is refused for a new file of this very process cannot be
had, whatever the system says of it; there is another way for all of it, which `doctor` prices.
"""

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LOST = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
"""What says that bytes are not on the disk: never that a file system cannot do something."""

BEYOND = 2**60
"""The first byte of a file of claims that is no claim."""

PAST_CACHE = getattr(os, "O_DIRECT", 0)


@dataclass(frozen=True)
class Ability:
    """Something that not every file system does.

    Attributes:
        name: what it does.
        price: what it costs where it does not.
        attempt: does it in an empty folder.
    """

    name: str
    price: str
    attempt: Callable[[Path], object]


def refusal(folder: Path, ability: Ability) -> str:
    """What the system says where a folder cannot do something; empty where it can.

    Raises:
        OSError: where nothing can be made in the folder, so that nobody knows.
    """
    return _refusal(folder.absolute(), ability)


@functools.cache
def _refusal(folder: Path, ability: Ability) -> str:
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=".probe.", ignore_cleanup_errors=True
    ) as own:
        try:
            ability.attempt(Path(own))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def has(folder: Path, ability: Ability) -> bool:
    """Whether a folder can do something; also where nobody knows."""
    with contextlib.suppress(OSError):
        return not refusal(folder, ability)
    return True


def now(folder: Path) -> float:
    """The time by the clock that a folder's files get theirs from, in seconds of the epoch.

    Raises:
        OSError: where nothing can be made in the folder.
    """
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".probe.")
    try:
        os.write(descriptor, b"now")
        return os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
        os.unlink(name)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())


def free_bytes(folder: Path) -> int | None:
    """Bytes that a folder can still have; None where its file system does not tell."""
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(existing(folder))
        return usage.free if usage.total else None
    return None


def lock(descriptor: int, byte: int) -> None:
    """Locks a byte of a file for this process.

    Raises:
        OSError: where another process has it, or the file system has no locks.
    """
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)


def _file(folder: Path, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(b"probe")
    return path


def _lock(folder: Path) -> None:
    with _file(folder).open("r+b") as file:
        lock(file.fileno(), BEYOND)


def _lock_whole(folder: Path) -> None:
    with _file(folder).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_past_cache(folder: Path) -> None:
    descriptor = os.open(_file(folder), os.O_WRONLY | PAST_CACHE)
    try:
        os.write(descriptor, mmap.mmap(-1, 2**22))
    finally:
        os.close(descriptor)


def _flush(folder: Path) -> None:
    with _file(folder).open("r+b") as file:
        os.fsync(file.fileno())


def _replace_folder(folder: Path) -> None:
    (folder / "old").mkdir()
    _file(folder / "old")
    os.replace(folder / "old", folder / "new")


LOCKS = Ability(
    "lock bytes of a file (fcntl)",
    "two processes may do the same work; nothing waits, and results stay right",
    _lock,
)
WHOLE_LOCKS = Ability(
    "lock whole files (flock)",
    "DVC cannot start; temporary files of a run that goes on are known by their age alone",
    _lock_whole,
)
LINKS = Ability(
    "link files",
    "activations are there once more, and each file is copied before it is sent",
    lambda folder: os.link(_file(folder), folder / "linked"),
)
MODES = Ability(
    "set the modes of files",
    "who may read what is made here is left to the mount",
    lambda folder: os.chmod(_file(folder), 0o644),
)
DIRECT = Ability(
    "write past the page cache (O_DIRECT)",
    "extraction writes through the cache, a little slower",
    _write_past_cache,
)
FLUSH = Ability(
    "flush files (fsync)",
    "what was written in the last seconds may be half there after a power cut; it is found by its "
    "hash and made again",
    _flush,
)
TIMES = Ability(
    "set the times of files",
    "`store prune` may remove the file of claims, so that two processes do the same work",
    lambda folder: os.utime(_file(folder)),
)
RENAMES = Ability(
    "rename a file onto another",
    "DVC can keep no result here; our own files are copied, and a kill may leave half of one",
    lambda folder: os.replace(_file(folder, "new"), _file(folder, "old")),
)
FOLDERS = Ability(
    "rename folders",
    "a kill while a result takes its place leaves half of it, which DVC makes again",
    _replace_folder,
)
ALL = (LOCKS, WHOLE_LOCKS, LINKS, MODES, DIRECT, FLUSH, TIMES, RENAMES, FOLDERS)
