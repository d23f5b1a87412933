"""Temporary files and folders: locked by who makes them, and swept once nobody does.

The kernel gives a lock back with its process, on whatever machine that runs. Where a file system
has no locks, age decides alone, by the clock of that file system; a maker whose file was swept
all the same makes it again.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lifeboat.stage import abilities

R = TypeVar("R")

STALE_S = 3600
"""After which a temporary file that nobody holds is of no run that goes on."""
_ATTEMPTS = 3


class SweptError(FileNotFoundError):
    """A temporary file was gone before it was whole."""


@contextmanager
def file(path: Path) -> Iterator[Path]:
    """An empty file beside a path, removed at the end if it is there.

    Raises:
        SweptError: where somebody has removed it meanwhile.
        OSError: where it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
    except FileNotFoundError as error:
        if os.path.lexists(name):
            raise
        raise SweptError(error.errno, error.strerror, name) from error
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def folder(parent: Path, prefix: str) -> Iterator[Path]:
    """An empty folder, removed at the end if it is there.

    Raises:
        OSError: where it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Locks a temporary file or folder, where that can be, so that nobody sweeps it.

    Leave this before it is renamed: not every file system renames what somebody has open.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def made(attempt: Callable[[], R]) -> R:
    """What an attempt returns, which is made again where its temporary file was swept.

    Raises:
        SweptError: where that happens time and again.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(SweptError):
            return attempt()
    return attempt()


def sweep(paths: Iterable[Path]) -> None:
    """Removes what killed processes left, if it is old enough; what will not go stays.

    Args:
        paths: temporary files and folders, old by the clock of the folder that each lies in.
    """
    now_by_folder: dict[Path, float] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            if path.parent not in now_by_folder:
                now_by_folder[path.parent] = abilities.now(path.parent)
            age = now_by_folder[path.parent] - path.lstat().st_mtime
            if age > STALE_S and not is_held(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def is_held(path: Path) -> bool:
    """Whether a process has a temporary file or folder in hand, as far as locks can tell.

    Raises:
        OSError: where it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
