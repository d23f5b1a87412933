"""Files from a remote: beside their place until they are whole, and in it by a rename."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lifeboat.remotes import store_errors
from lifeboat.remotes.bucket import Bucket

_STALE_S = 3600


@contextmanager
def gate(folder: Path) -> Iterator[None]:
    """A folder for what is on its way, without what a killed process left there an hour ago."""
    for path in folder.glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > _STALE_S:
                path.unlink()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # another process may have something in it
            folder.rmdir()


def bring(
    bucket: Bucket,
    key: str,
    place: Path,
    folder: Path,
    is_right: Callable[[Path], bool],
    mode: int = 0o644,
) -> int | None:
    """Brings an object to its place, where its bytes are right; their number, None where not.

    Args:
        bucket: the remote.
        key: of the object.
        place: where the file belongs.
        folder: where it lies until it is whole, on the same disk.
        is_right: whether a file has the bytes that were meant.
        mode: of the file.

    Raises:
        StoreError: where it is not there, or could not be read or written.
    """
    fresh = folder / f"{key.replace('/', '-')}.{os.getpid()}.{threading.get_ident()}"
    try:
        bucket.get(key, fresh)
        if not is_right(fresh):
            return None
        n_bytes = fresh.stat().st_size
        with store_errors.readable(str(place)):
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.chmod(mode)
            fresh.replace(place)
        return n_bytes
    finally:
        fresh.unlink(missing_ok=True)
