"""Who makes what: one process at a time works at a unit, and a dead one's claim is free again."""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifeboat.stage import artifacts, interruption

FILE = ".claims"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.01, 1.0

_descriptors: dict[Path, int] = {}
# Of the whole process: closing one descriptor of a file would give back the claims of all others.


@contextmanager
def claimed(folder: Path, name: str) -> Iterator[None]:
    """A context in which no other process has `name`; waits while one does.

    A claim is a lock on one byte of a file, which ends with the process, however it ends. Threads
    of one process do not keep each other out.

    Raises:
        SystemExit: with code 75, where the process is asked to stop while it waits.
    """
    descriptor, byte = _open(folder), int(hashlib.sha256(name.encode()).hexdigest()[:15], 16)
    seconds = _FIRST_WAIT_S
    while not _lock(descriptor, byte):
        if interruption.requested():
            interruption.checkpoint()
        time.sleep(seconds)
        seconds = min(2 * seconds, _LONGEST_WAIT_S)
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


def _open(folder: Path) -> int:
    path = folder.absolute() / FILE
    if path not in _descriptors or not path.exists():
        artifacts.make_folder(folder)
        _descriptors[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.utime(_descriptors[path])
    return _descriptors[path]


def _lock(descriptor: int, byte: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        # Where a file system has no locks, two processes may do the same work; no harm else.
        return error.errno in (errno.ENOLCK, errno.EOPNOTSUPP)
    return True
