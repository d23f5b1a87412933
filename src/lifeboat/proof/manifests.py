"""DVC's lists of a folder's files (`.dir` objects), read as data from anyone."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from lifeboat.stage.errors import UserError

_MD5 = re.compile(r"[0-9a-f]{32}")


class DamagedListError(UserError):
    """A folder's list that is none, or names a path outside its folder."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a folder.

    Attributes:
        oid: MD5 of its content.
        path: relative to the folder.
    """

    oid: str
    path: str


def is_oid(value: object) -> bool:
    """Whether a value is an MD5 as DVC writes it, with `.dir` behind it for a folder."""
    return isinstance(value, str) and _MD5.fullmatch(value.removesuffix(".dir")) is not None


def key(oid: str) -> str:
    """Where a remote and a cache of DVC 3 keep an object."""
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def is_whole(oid: str, data: bytes) -> bool:
    """Whether a list's bytes hash to its name."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == oid.removesuffix(".dir")


def entries(oid: str, data: bytes) -> list[Entry]:
    """The files of a folder.

    Raises:
        DamagedListError: for a list that is none, or names a path outside its folder.
    """
    try:
        found = json.loads(data, object_hook=_entry)
        if not isinstance(found, list) or not all(isinstance(each, Entry) for each in found):
            raise ValueError("it is no list of files")
    except (ValueError, RecursionError) as error:
        raise DamagedListError(f"the list of files {oid} is damaged: {error}.") from None
    return found


def _entry(value: dict[str, object]) -> Entry:
    oid, path = value.get("md5"), value.get("relpath")
    if not isinstance(oid, str) or not _MD5.fullmatch(oid):
        raise ValueError(f"it holds the MD5 {oid!r:.60}")
    if not isinstance(path, str) or not _is_inside(path):
        raise ValueError(f"it holds the path {path!r:.60}")
    return Entry(oid, path)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path
