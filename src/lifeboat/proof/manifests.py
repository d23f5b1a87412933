"""DVC's lists of a folder's files (`.dir` objects), read as data from anyone."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from lifeboat.stage.errors import UserError

_OID = re.compile(r"[0-9a-f]{32}(\.dir)?")
_MD5 = re.compile(r"[0-9a-f]{32}")


class DamagedListError(UserError):
    """A folder's list that is none, or names a path outside its folder."""


@dataclass(frozen=True)
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
    return isinstance(value, str) and _OID.fullmatch(value) is not None


def key(oid: str) -> str:
    """Where a remote and a cache of DVC 3 keep an object."""
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def is_whole(oid: str, data: bytes) -> bool:
    """Whether a list's bytes hash to its name."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == oid.removesuffix(".dir")


def entries(oid: str, data: bytes) -> Iterator[Entry]:
    """The files of a folder, one at a time: the list is never held as objects as a whole.

    Raises:
        DamagedListError: for a list that is none, or names a path outside its folder.
    """
    try:
        for value in _values(data.decode()):
            yield _entry(value)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedListError(f"the list of files {oid} is damaged: {error}.") from None


def _values(text: str) -> Iterator[object]:
    """The members of a JSON array, decoded one by one."""
    decoder, blank = json.JSONDecoder(), re.compile(r"[ \t\r\n]*")

    def skip(at: int) -> int:
        found = blank.match(text, at)
        return found.end() if found else at

    at = skip(0)
    if text[at : at + 1] != "[":
        raise ValueError("it is no list")
    at = skip(at + 1)
    separator = "," if text[at : at + 1] != "]" else "]"
    while separator == ",":
        value, at = decoder.raw_decode(text, skip(at))
        yield value
        at = skip(at)
        separator, at = text[at : at + 1], at + 1
    if separator != "]":
        raise ValueError("it ends in the middle")


def _entry(value: object) -> Entry:
    if not isinstance(value, dict):
        raise TypeError(f"it holds {value!r:.60}")
    oid, path = value.get("md5"), value.get("relpath")
    if not isinstance(oid, str) or not _MD5.fullmatch(oid):
        raise ValueError(f"it holds the MD5 {oid!r:.60}")
    if not isinstance(path, str) or not _is_inside(path):
        raise ValueError(f"it holds the path {path!r:.60}")
    return Entry(oid, path)


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path
