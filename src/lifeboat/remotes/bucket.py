"""A DVC remote as keys and bytes, through DVC's own settings and file systems.

No lock of DVC is taken and no index of DVC's is asked: what is said here comes from the store.
"""

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from lifeboat.remotes import store_errors
from lifeboat.remotes.stored import Stored, tier, written_at
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

RETRIES = 3
"""Attempts of the S3 client at a broken request; botocore's own (AWS_MAX_ATTEMPTS) come on top."""


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
            self._inner = _without_memory(fs.fs)

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


class Folder(Bucket):
    """A folder of this machine, or one mounted on it."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """As `Bucket.list`; a folder that is not there holds nothing."""
        start = self._at(prefix.rstrip("/"))
        with store_errors.readable(self._told(prefix)):
            for folder, _, names in os.walk(start, onerror=_unless_absent, followlinks=True):
                for path in (Path(folder) / name for name in names if name[0] != "."):
                    if path.is_file():
                        status, key = path.stat(), path.relative_to(self._path).as_posix()
                        yield Stored(key, status.st_size, modified=status.st_mtime)

    def is_sure(self, stored: Stored) -> bool:
        """Never: a folder lists files that it does not let one read."""
        return False

    def _send(self, source: Path, key: str) -> None:
        with artifacts.replaced(Path(self._at(key))) as fresh:
            self._fs.get_file(str(source), str(fresh))


def open_bucket(root: Path, name: str | None = None) -> Bucket:
    """The remote of that name, or the default one; it is not contacted yet.

    Raises:
        UserError: where there is none, or it cannot be opened with what is installed.
    """
    from dvc.config import Config, ConfigError
    from dvc.fs import get_cloud_fs
    from dvc_objects.fs.base import ObjectFileSystem

    try:
        config = Config(str(root / ".dvc"))
        name = name or str(config["core"].get("remote", ""))
        if not name:
            raise UserError("DVC has no default remote.", "Run `lifeboat remote set URL`.")
        if name not in config["remote"]:
            known = ", ".join(sorted(config["remote"])) or "none"
            raise UserError(f"There is no DVC remote {name!r}; known: {known}.")
        opened = get_cloud_fs(config, name=name)
    except ConfigError as error:
        raise UserError(f"DVC's configuration cannot be read: {error}") from None
    kind, settings, path = cast("tuple[Any, dict[str, Any], str]", opened)
    url = str(config["remote"][name]["url"])
    if settings.get("worktree") or settings.get("version_aware"):
        raise UserError(
            f"The remote `{name}` keeps files by name (`version_aware` or `worktree`), and not by "
            "content.",
            "Only a remote by content can be compared with dvc.lock: `lifeboat remote set`.",
        )
    with store_errors.readable(url):
        fs = kind(**settings)
    if kind.protocol == "local":
        return Folder(url, path, fs)
    if kind.protocol == "s3":
        from lifeboat.remotes.s3 import S3

        return S3(url, path, fs)
    return (ObjectStore if issubclass(kind, ObjectFileSystem) else Bucket)(url, path, fs)


def _require_key(key: str) -> None:
    if key.startswith("/") or ".." in key.split("/"):
        raise UserError(f"{key!r} is no key of a remote: it leads out of it.")


def _without_memory(fs: Any) -> Any:
    """The file system, which asks the store again each time and gives up within minutes."""
    from fsspec.dircache import DirCache

    fs.dircache = DirCache(use_listings_cache=False)
    if hasattr(type(fs), "retries"):
        fs.retries = RETRIES
    return fs


@contextmanager
def _absent_allowed() -> Iterator[None]:
    """What is not there ends the context in peace, unless the bucket is what is not there."""
    try:
        yield
    except FileNotFoundError as error:
        if store_errors.kind(error) == "no bucket":
            raise


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
