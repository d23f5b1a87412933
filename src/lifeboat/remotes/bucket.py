"""A DVC remote as keys and bytes, through DVC's own settings and file systems.

No lock of DVC is taken and no index of DVC's is asked: what is said here comes from the store.
"""

import base64
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from lifeboat.remotes import store_errors
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

CHUNK = 16 * 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")

RETRIES = 3
"""Attempts of the S3 client at a broken request; botocore's own (AWS_MAX_ATTEMPTS) come on top."""


@dataclass(frozen=True)
class Stored:
    """An object that a remote holds, as the remote describes it.

    Attributes:
        key: relative to the remote's address, such as `files/md5/ab/cdef`.
        bytes: its size.
        md5: of its content where the store gives one (an S3 ETag of a single part), else None.
            Encryption with a key service makes such an ETag something else.
        etag: as the store says it, composite (`...-7`) for an object sent in parts.
        modified: when it was put there, in seconds of the epoch, where the store tells.
    """

    key: str
    bytes: int
    md5: str | None = None
    etag: str | None = None
    modified: float | None = field(default=None, compare=False)


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
        with store_errors.readable(self._told(key)):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fs.get_file(self._at(key), str(target))

    def read(self, key: str) -> bytes:
        """The bytes of an object; for small ones.

        Raises:
            StoreError: where there is none, or it cannot be read.
        """
        with store_errors.readable(self._told(key)):
            return bytes(self._inner.cat_file(self._at(key)))

    def write(self, key: str, data: bytes) -> Stored:
        """Puts bytes under a key, as `put` does."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.put(Path(file.name), key)

    def md5(self, key: str) -> str:
        """MD5 of an object's content, all of which is read.

        Raises:
            StoreError: where there is none, or it cannot be read.
        """
        md5 = partial(hashlib.md5, usedforsecurity=False)
        with store_errors.readable(self._told(key)), self._open(key) as file:
            return hashlib.file_digest(file, md5).hexdigest()

    def remove(self, key: str) -> None:
        """Removes an object, if it is there.

        Raises:
            StoreError: where it could not be.
        """
        with store_errors.readable(self._told(key)), _absent_allowed():
            self._inner.rm_file(self._at(key))

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
        return Stored(key, int(info["size"]), md5, etag, _time(info))

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


class S3(ObjectStore):
    """S3, and what speaks it."""

    def list(self, prefix: str) -> Iterator[Stored]:
        """As `Bucket.list`, a page of a thousand at a time."""
        name, _, start = self._at(prefix.rstrip("/")).lstrip("/").partition("/")
        asked = {"Bucket": name, "Prefix": f"{start}/" if start else ""}
        with store_errors.readable(self._told(prefix)):
            while True:
                page = self._inner.call_s3("list_objects_v2", **asked)
                for entry in page.get("Contents", []):
                    key = self._key(f"{name}/{entry['Key']}")
                    yield self._stored(key, {**entry, "size": entry["Size"]})
                if not page.get("IsTruncated"):
                    return
                asked["ContinuationToken"] = page["NextContinuationToken"]

    def _info(self, key: str) -> dict[str, Any]:
        name, _, rest = self._at(key).lstrip("/").partition("/")
        head = self._inner.call_s3("head_object", Bucket=name, Key=rest)
        return {**head, "size": head["ContentLength"], "type": "file"}

    def _open(self, key: str) -> Any:
        return self._inner.open(self._at(key), "rb", block_size=CHUNK, cache_type="readahead")

    def _stored(self, key: str, info: dict[str, Any]) -> Stored:
        etag = str(info.get("ETag") or "").strip('"').lower() or None
        keyed = "kms" in str(info.get("ServerSideEncryption", "")) or info.get("SSECustomerKeyMD5")
        is_md5 = etag is not None and _MD5.fullmatch(etag) and not keyed
        md5 = etag if is_md5 else None
        return Stored(key, int(info["size"]), md5, etag, _time(info))


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
        return S3(url, path, fs)
    return (ObjectStore if issubclass(kind, ObjectFileSystem) else Bucket)(url, path, fs)


def _time(info: dict[str, Any]) -> float | None:
    """When an object was last written; every file system has a name of its own for it."""
    for name in ("LastModified", "last_modified", "updated", "mtime"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


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
