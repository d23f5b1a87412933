"""What a remote says of an object that it holds."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
        tier: its storage class, where that is not known to let everything be read at once.
    """

    key: str
    bytes: int
    md5: str | None = None
    etag: str | None = None
    modified: float | None = field(default=None, compare=False)
    tier: str = ""


_OPEN = (
    "STANDARD REDUCED_REDUNDANCY STANDARD_IA ONEZONE_IA GLACIER_IR EXPRESS_ONEZONE OUTPOSTS SNOW "
    "NEARLINE COLDLINE HOT COOL COLD"
)


def tier(info: dict[str, Any]) -> str:
    """The storage class of an object, by whichever store's name; empty where all of it is open."""
    named = (info.get(name) for name in ("StorageClass", "storageClass", "blob_tier"))
    found = str(next(filter(None, named), "")).upper()
    return "" if found in _OPEN.split() else found


def written_at(info: dict[str, Any]) -> float | None:
    """When an object was last written; every file system has a name of its own for it."""
    for name in ("LastModified", "last_modified", "updated", "mtime"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None
