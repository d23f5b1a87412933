"""Files from a remote: beside their place until they are whole, and in it by a rename."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifeboat.remotes import store_errors
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import OF_ONE_OBJECT, StoreError
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


@dataclass(frozen=True)
class Refusal:
    """Why an object did not come.

    Attributes:
        reason: as the end of a sentence about it.
        cure: what to do, empty where nothing is known.
        kind: what it means; `altered` where it came and has other bytes.
    """

    reason: str
    cure: str = ""
    kind: str = "altered"

    @property
    def altered(self) -> bool:
        """Whether the remote has other bytes under its name."""
        return self.kind == "altered"


def bring(
    bucket: Bucket,
    key: str,
    place: Path,
    folder: Path,
    is_right: Callable[[Path], bool],
    mode: int = 0o644,
) -> Refusal | None:
    """Brings an object to its place; why it did not come, None where it did.

    Args:
        bucket: the remote.
        key: of the object.
        place: where the file belongs.
        folder: where it lies until it is whole, on the same disk.
        is_right: whether a file has the bytes that were meant.
        mode: of the file.

    Raises:
        StoreError: where the remote fails and not just this object, or the file cannot be written.
    """
    fresh = folder / f"{key.replace('/', '-')}.{os.getpid()}.{threading.get_ident()}"
    try:
        try:
            bucket.get(key, fresh)
        except StoreError as error:
            if error.kind not in OF_ONE_OBJECT:
                raise
            reason = NOT_THERE if error.kind == "missing object" else error.reason
            return Refusal(reason, error.cure, error.kind)
        if not is_right(fresh):
            return Refusal(ALTERED)
        with store_errors.readable(str(place)):
            place.parent.mkdir(parents=True, exist_ok=True)
            artifacts.move(fresh, place)
            with contextlib.suppress(OSError):
                place.chmod(mode)
        return None
    finally:
        fresh.unlink(missing_ok=True)
