"""Whether an object in a remote is the one that was meant, by the strongest evidence at hand.

The cheap evidence (a size, a store's own hash) only acquits. Where it speaks against an object,
the object is read and hashed before it is called wrong, so that no other is.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lifeboat.remotes.bucket import Bucket, Stored

PART = 50 * 2**20
"""Bytes of a part, as DVC's S3 client cuts files of twice that and more."""

Evidence = Literal["read", "hash", "size", "presence"]


@dataclass(frozen=True)
class Judgement:
    """What an object in a remote turned out to be.

    Attributes:
        evidence: the strongest that was looked at: all of it `read` and hashed; the store's own
            `hash`; its `size`; its `presence` alone.
        wrong: why it is not the object that was meant; empty where it is.
    """

    evidence: Evidence
    wrong: str = ""


class Judge:
    """Compares objects of one remote; several threads may ask.

    Args:
        bucket: the remote.
        deep: whether every object is read and hashed.

    Attributes:
        hashes_are_content: false once a store's hash spoke against an object that was right, as
            encryption with a key service makes it; hashes of that store count no more.
    """

    def __init__(self, bucket: Bucket, deep: bool) -> None:
        self.hashes_are_content = True
        self._bucket = bucket
        self._deep = deep

    def judge(self, oid: str, stored: Stored, expected: int | None, cached: Path) -> Judgement:
        """Whether an object is the one that its key says.

        Args:
            oid: its MD5, `.dir` behind it for a folder's list, which is always hashed.
            stored: as the remote describes it.
            expected: its size, if dvc.lock records it.
            cached: where the local cache keeps it, if it does.

        Raises:
            StoreError: where it had to be read and could not be.
        """
        if self._deep:
            return self.read(oid, stored)
        if self.hashes_are_content and (verdict := _by_hash(oid, stored, cached)) is not None:
            return Judgement("hash") if verdict else self._appeal(oid, stored)
        if oid.endswith(".dir"):
            return self.read(oid, stored)
        size = expected if expected is not None else size_of(cached)
        if size is None:
            return Judgement("presence")
        return Judgement("size") if size == stored.bytes else self.read(oid, stored)

    def read(self, oid: str, stored: Stored) -> Judgement:
        """By its content, all of which is read.

        Raises:
            StoreError: where it cannot be read.
        """
        md5 = self._bucket.md5(stored.key)
        if md5 == oid.removesuffix(".dir"):
            return Judgement("read")
        return Judgement("read", f"its {stored.bytes} bytes hash to {md5}")

    def _appeal(self, oid: str, stored: Stored) -> Judgement:
        judgement = self.read(oid, stored)
        if not judgement.wrong:
            self.hashes_are_content = False
        return judgement


def _by_hash(oid: str, stored: Stored, cached: Path) -> bool | None:
    """Whether the store's own hash is the right one; None where it gives none to compare."""
    if stored.md5 is not None:
        return stored.md5 == oid.removesuffix(".dir")
    n_parts = math.ceil(stored.bytes / PART)
    if stored.etag is None or not stored.etag.endswith(f"-{n_parts}"):
        return None
    if size_of(cached) != stored.bytes:
        return None
    try:
        md5, composite = composite_etag(cached)
    except OSError:
        return None
    return composite == stored.etag if md5 == oid.removesuffix(".dir") else None


def composite_etag(path: Path) -> tuple[str, str]:
    """MD5 of a file, and the ETag that S3 gives to it when it is sent in parts.

    Raises:
        OSError: where it cannot be read.
    """
    whole, parts = hashlib.md5(usedforsecurity=False), hashlib.md5(usedforsecurity=False)
    n_parts = 0
    with path.open("rb") as file:
        while part := file.read(PART):
            whole.update(part)
            parts.update(hashlib.md5(part, usedforsecurity=False).digest())
            n_parts += 1
    return whole.hexdigest(), f"{parts.hexdigest()}-{n_parts}"


def size_of(path: Path) -> int | None:
    """Bytes of a file, None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None
