"""Who makes what: one process at a time works at a unit, and a dead one's claim is free again.

Where a folder has no locks, every claim is granted: two processes may do the same work, and nobody
waits for ever.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifeboat.stage import abilities, artifacts, interruption, temporary

FILE = ".claims"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.01, 1.0

# Of the whole process: closing one descriptor of a file would give back the claims of all others.
_descriptors: dict[Path, int] = {}


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[None]:
    """A context in which no other process has `name`; waits while one does.

    Threads of one process do not keep each other out.

    Raises:
        SystemExit: with code 75, where the process is asked to stop while it waits.
        UserError: where the folder cannot be made.
    """
    seconds = _FIRST_WAIT_S
    while not take(folder, name):
        if interruption.requested():
            interruption.checkpoint()
        time.sleep(seconds)
        seconds = min(2 * seconds, _LONGEST_WAIT_S)
    try:
        yield
    finally:
        give_back(folder, name)


def take(folder: Path, name: str) -> bool:
    """Takes `name` for this process, unless another one has it.

    A claim is a lock on one byte of a file, which ends with the process, however it ends.

    Raises:
        UserError: where the folder cannot be made.
    """
    artifacts.make_folder(folder)
    with contextlib.suppress(OSError):
        descriptor = _open(folder)
        if not _locked(descriptor, _byte(name)) and _has_locks(descriptor):
            return False
    return True


def give_back(folder: Path, name: str) -> None:
    """Lets other processes have `name`."""
    with contextlib.suppress(OSError):
        if (descriptor := _descriptors.get(folder.absolute() / FILE)) is not None:
            _unlock(descriptor, _byte(name))


def sweep(folder: Path) -> None:
    """Removes temporary files of units that nobody has in hand, as `temporary.sweep`."""
    temporary.sweep(path for path in folder.glob(".*") if path.name != FILE)


def _open(folder: Path) -> int:
    path = folder.absolute() / FILE
    if path not in _descriptors or not path.exists():
        _descriptors[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with contextlib.suppress(OSError):
        os.utime(_descriptors[path])
    return _descriptors[path]


def _locked(descriptor: int, byte: int) -> bool:
    try:
        abilities.lock(descriptor, byte)
    except OSError:
        return False
    return True


def _unlock(descriptor: int, byte: int) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


def _has_locks(descriptor: int) -> bool:
    """Whether a byte can be locked that nobody else can have."""
    byte = abilities.BEYOND + secrets.randbelow(abilities.BEYOND)
    if is_free := _locked(descriptor, byte):
        _unlock(descriptor, byte)
    return is_free


def _byte(name: str) -> int:
    """The byte that stands for a name, below those beyond all claims."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:15], 16)
