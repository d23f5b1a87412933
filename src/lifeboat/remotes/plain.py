"""A DVC remote as keys and bytes, as every kind of file system has them."""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lifeboat.remotes import store_errors
from lifeboat.remotes.stored import Stored, tier, written_at
from lifeboat.stage.errors import UserError


class Bucket:
    """Any remote that DVC opens.

    Args:
        url: its address, for messages.
        path: its root in the file system.
        fs: DVC's file system.
    """

    def __init__(self, url: str, path: str, fs: Any) -> None:
        self.url = url
        self.can_list = bool(fs.CAN_TRAVERSE)
        self._path = path.rstrip("/")
        self._fs = fs
        with store_errors.readable(url):
            self._inner = fs.fs

    def list(self, prefix: str) -> Iterator[Stored]:
        """Everything under a folder of keys (`files/md5/ab/`, or empty for all), in any order.

        Raises:
            StoreError: where the store cannot be listed.
        """
        with store_errors.readable(self._told(prefix)), _absent_allowed():
            found = self._inner.find(self._at(prefix.rstrip("/")), detail=True)
            for name, info in found.items():
                yield self._stored(self._key(name), info)

    def find(self, key: str) -> Stored | None:
        """One object, or None where the store does not have it.

        Raises:
            StoreError: where the store cannot be asked.
        """
        with store_errors.readable(self._told(key)), _absent_allowed():
            info = self._info(key)
            return self._stored(key, info) if info.get("type") == "file" else None
        return None

    def put(self, source: Path, key: str) -> Stored:
        """Sends a file, which appears whole or not at all; what the store says of it afterwards.

        Raises:
            StoreError: where it did not arrive.
        """
        with store_errors.readable(self._told(key)):
            self._send(source, key)
        return self._arrived(key)

    def get(self, key: str, target: Path) -> None:
        """Writes an object into `target`, a file that nobody else knows until it is whole.

        Raises:
            StoreError: where it could not be read, or written here; there may be a part of it.
        """
        with self._about(key):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(self._at(key), str(target))

    def read(self, key: str) -> bytes:
        """The bytes of an object; for small ones.

        Raises:
            StoreError: where there is none, or it cannot be read.
        """
        with self._about(key):
            return bytes(self._inner.cat_file(self._at(key)))

    def write(self, key: str, data: bytes) -> Stored:
        """Puts bytes under a key, as `put` does."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.put(Path(file.name), key)

    def digest(self, key: str, kind: str = "md5") -> str:
        """A hash of an object's content, all of which is read.

        Args:
            key: the object.
            kind: `md5` or `sha256`.

        Raises:
            StoreError: where there is none, or it cannot be read.
        """
        new = partial(hashlib.new, kind, usedforsecurity=False)
        with self._about(key), self._open(key) as file:
            return hashlib.file_digest(file, new).hexdigest()

    def is_sure(self, stored: Stored) -> bool:
        """Whether what the remote said of an object leaves no doubt that it can be read."""
        return not stored.tier

    def require_open(self, stored: Stored) -> str:
        """Makes sure that an object can be read now, by reading a byte of it.

        Returns:
            Until when, in the store's words; empty where it stays so.

        Raises:
            StoreError: where it cannot be.
        """
        first = {"start": 0, "end": 1} if stored.bytes else {}
        with self._about(stored.key):
            self._inner.cat_file(self._at(stored.key), **first)
        return ""

    def remove(self, key: str) -> None:
        """Removes an object, if it is there.

        Raises:
            StoreError: where it could not be.
        """
        with store_errors.readable(self._told(key)), _absent_allowed():
            self._inner.rm_file(self._at(key))

    def _about(self, key: str) -> AbstractContextManager[None]:
        """Whatever is raised inside is told as an error about an object."""
        return store_errors.readable(self._told(key))

    def _send(self, source: Path, key: str) -> None:
        """Under another name first: not every file system shows an object only when it is whole."""
        unfinished = f"{key}.arriving.{os.getpid()}"
        self._fs.makedirs(self._fs.parent(self._at(key)))
        self._fs.put_file(str(source), self._at(unfinished))
        self._fs.mv(self._at(unfinished), self._at(key))

    def _open(self, key: str) -> Any:
        return self._inner.open(self._at(key), "rb")

    def _info(self, key: str) -> dict[str, Any]:
        return self._inner.info(self._at(key))

    def _arrived(self, key: str) -> Stored:
        stored = self.find(key)
        if stored is None:
            raise store_errors.StoreError("other", self._told(key), "sent, and not there after")
        return stored

    def _stored(self, key: str, info: dict[str, Any]) -> Stored:
        etag = str(info.get("ETag") or info.get("etag") or "").strip('"') or None
        google = info.get("md5Hash")
        md5 = base64.b64decode(google).hex() if isinstance(google, str) else None
        return Stored(key, int(info["size"]), md5, etag, written_at(info), tier(info))

    def _at(self, key: str) -> str:
        _require_key(key)
        return f"{self._path}/{key}" if key else self._path

    def _key(self, name: str) -> str:
        return name.lstrip("/").removeprefix(self._path.lstrip("/")).lstrip("/")

    def _told(self, key: str) -> str:
        return f"{self.url.rstrip('/')}/{key}" if key else self.url


class ObjectStore(Bucket):
    """A store that shows an object only when all of it is there."""

    def _send(self, source: Path, key: str) -> None:
        self._fs.put_file(str(source), self._at(key))


def _require_key(key: str) -> None:
    if key.startswith("/") or ".." in key.split("/"):
        raise UserError(f"{key!r} is no key of a remote: it leads out of it.")


@contextmanager
def _absent_allowed() -> Iterator[None]:
    """What is not there ends the context in peace, unless the bucket is what is not there."""
    try:
        yield
    except FileNotFoundError as error:
        if store_errors.kind(error) == "no bucket":
            raise
