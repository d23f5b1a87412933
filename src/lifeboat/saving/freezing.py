"""Files that are hashed and sent while others may replace them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifeboat.stage import artifacts, temporary

_CHUNK = 2**20


@dataclass(frozen=True)
class Hashed:
    """A file that does not change while it is sent.

    Attributes:
        path: the file.
        bytes: its size.
        md5: of its content.
        sha256: of its content.
    """

    path: Path
    bytes: int
    md5: str
    sha256: str


@contextmanager
def frozen(path: Path, folder: Path) -> Iterator[Hashed]:
    """A file that may be replaced at any time, as it is now: a link to it, hashed.

    Writers of this project never open a file that is there; they replace it. So a link keeps the
    bytes, and costs none.

    Args:
        path: the file.
        folder: on the same disk, for the link; a copy where links are impossible.

    Raises:
        OSError: where the file is gone.
    """
    with temporary.folder(folder, "sending.") as own, temporary.held(own):
        artifacts.link_or_copy(path, own / "file")
        yield hash_file(own / "file")


def hash_file(path: Path) -> Hashed:
    """A file's size and both of its hashes, read once.

    Raises:
        OSError: where it cannot be read.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    n_bytes = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            n_bytes += len(chunk)
    return Hashed(path, n_bytes, md5.hexdigest(), sha256.hexdigest())
