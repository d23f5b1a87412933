"""Files from a remote: beside their place until they are whole, and in it by a rename."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lifeboat.remotes import store_errors
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.stage import artifacts, temporary

N_THREADS = 8
"""Files on their way at the same time."""

NOT_THERE, ALTERED = "is not there", "has other bytes than its name says"


@contextmanager
def gate(folder: Path) -> Iterator[None]:
    """A folder for what is on its way, without what a killed process left there an hour ago."""
    temporary.sweep(folder.glob("*"))
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
) -> str:
    """Brings an object to its place; why it did not come, empty where it did.

    Args:
        bucket: the remote.
        key: of the object.
        place: where the file belongs.
        folder: where it lies until it is whole, on the same disk.
        is_right: whether a file has the bytes that were meant.
        mode: of the file.

    Raises:
        StoreError: where it could not be read or written, for another reason than that the remote
            does not have it.
    """
    fresh = folder / f"{key.replace('/', '-')}.{os.getpid()}.{threading.get_ident()}"
    try:
        bucket.get(key, fresh)
        if not is_right(fresh):
            return ALTERED
        with store_errors.readable(str(place)):
            place.parent.mkdir(parents=True, exist_ok=True)
            artifacts.move(fresh, place)
            with contextlib.suppress(OSError):
                place.chmod(mode)
        return ""
    except StoreError as error:
        if error.kind != "missing object":
            raise
        return NOT_THERE
    finally:
        fresh.unlink(missing_ok=True)
