"""A DVC remote as keys and bytes, through DVC's own settings and file systems.

No lock of DVC is taken and no index of DVC's is asked: what is said here comes from the store.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from lifeboat.remotes import store_errors
from lifeboat.remotes.plain import Bucket, ObjectStore
from lifeboat.remotes.remote import configuration
from lifeboat.remotes.s3 import S3
from lifeboat.remotes.stored import Stored
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

RETRIES = 3
"""Attempts of the S3 client at a broken request; botocore's own (AWS_MAX_ATTEMPTS) come on top."""


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
    from dvc.config import ConfigError
    from dvc.fs import get_cloud_fs
    from dvc_objects.fs.base import ObjectFileSystem

    config = configuration(root)
    name = name or str(config["core"].get("remote", ""))
    if not name:
        raise UserError("DVC has no default remote.", "Run `lifeboat remote set URL`.")
    if name not in config["remote"]:
        known = ", ".join(sorted(config["remote"])) or "none"
        raise UserError(f"There is no DVC remote {name!r}; known: {known}.")
    try:
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
        _forget(fs.fs)
    if kind.protocol == "local":
        return Folder(url, path, fs)
    if kind.protocol == "s3":
        return S3(url, path, fs)
    return (ObjectStore if issubclass(kind, ObjectFileSystem) else Bucket)(url, path, fs)


def _forget(fs: Any) -> None:
    """Lets a file system ask the store again each time, and give up within minutes."""
    from fsspec.dircache import DirCache

    fs.dircache = DirCache(use_listings_cache=False)
    if hasattr(type(fs), "retries"):
        fs.retries = RETRIES


def _unless_absent(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
