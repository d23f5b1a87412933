"""Whether an object is there, readable and the one that was meant: decided here, for all callers.

The cheap evidence (a listing, a size, a store's own hash) only acquits, and a hash only where one
object of the store was read. Where it speaks against an
object the object is read: all of it before it is called wrong, a byte of it before it is called
unreadable. What a store lists is not yet readable: it may be archived, or encrypted with a key that
is not to be had.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lifeboat.remotes import store_errors
from lifeboat.remotes.bucket import Bucket, Stored
from lifeboat.remotes.store_errors import StoreError

PART = 50 * 2**20
"""Bytes of a part, as DVC's S3 client cuts files of twice that and more."""

_SAMPLE = 2**20
"""Bytes up to which all of an object is read to see whether any can be, and else one."""

Evidence = Literal["read", "hash", "size", "presence"]


@dataclass(frozen=True)
class Meant:
    """An object as it was meant.

    Attributes:
        key: where it lies in a remote.
        md5: of its content, empty where only `sha256` is known.
        bytes: its size, where that is known.
        here: a file of this machine that should hold the same, if there is one.
        sha256: of its content, asked for where there is no `md5`.
    """

    key: str
    md5: str
    bytes: int | None = None
    here: Path = Path("/nonexistent")
    sha256: str = ""

    @property
    def is_list(self) -> bool:
        """Whether it is a folder's list, which is always hashed."""
        return self.key.endswith(".dir")


@dataclass(frozen=True)
class Judgement:
    """What an object in a remote turned out to be.

    Attributes:
        evidence: the strongest that was looked at: all of it `read` and hashed; the store's own
            `hash`; its `size`; its `presence` alone.
        wrong: why it is not there, readable and the object that was meant; empty where it is.
        cure: what makes it so, where the store knows it.
        is_there: whether the remote has anything under its key.
        until: when it ceases to be readable, in the store's words, where it does.
    """

    evidence: Evidence = "presence"
    wrong: str = ""
    cure: str = ""
    is_there: bool = True
    until: str = ""


ABSENT = Judgement(wrong="is not there", is_there=False)


class Judge:
    """Decides about objects of one remote; several threads may ask.

    Args:
        bucket: the remote.
        deep: whether every object is read and hashed.
        hurried: whether no byte is read of what the listing does not call archived.

    Attributes:
        lets_read: true once an object whose hash was right could be read, and held it.
        hashes_are_content: false once a store's hash spoke against an object that was right, as
            encryption with a key service makes it; hashes of that store only acquit from then on.
    """

    def __init__(self, bucket: Bucket, deep: bool = False, *, hurried: bool = False) -> None:
        self.lets_read = hurried
        self.hashes_are_content = True
        self._bucket = bucket
        self._deep = deep
        self._hurried = hurried

    def ask(self, meant: Meant) -> Judgement:
        """As `judge`, of what the remote says when it is asked for this very object.

        Raises:
            StoreError: where it cannot be asked.
        """
        return self.judge(meant, self._bucket.find(meant.key))

    def judge(self, meant: Meant, stored: Stored | None) -> Judgement:
        """Whether an object is there, readable and right.

        Args:
            meant: what it should be.
            stored: as the remote describes it; None where it has none.

        Raises:
            StoreError: where the remote fails, and not just this object.
        """
        if stored is None:
            return ABSENT
        try:
            return self._judged(meant, stored)
        except StoreError as error:
            if error.kind == "missing object":
                return ABSENT
            if error.kind not in store_errors.OF_ONE_OBJECT:
                raise
            return Judgement(wrong=f"it {error.reason}", cure=error.cure)

    def read(self, meant: Meant, stored: Stored) -> Judgement:
        """By its content, all of which is read.

        Raises:
            StoreError: where it cannot be read.
        """
        kind, wanted = ("md5", meant.md5) if meant.md5 else ("sha256", meant.sha256)
        found = self._bucket.digest(stored.key, kind)
        wrong = "" if found == wanted else f"its {stored.bytes} bytes hash to {found}"
        return Judgement("read", wrong)

    def _judged(self, meant: Meant, stored: Stored) -> Judgement:
        until = self._bucket.require_open(stored) if stored.tier else ""
        return replace(self._compared(meant, stored), until=until)

    def _compared(self, meant: Meant, stored: Stored) -> Judgement:
        if self._deep:
            return self.read(meant, stored)
        verdict = _by_hash(meant, stored)
        if verdict:
            return self._readable(meant, stored)
        if meant.is_list or (verdict is False and self.hashes_are_content):
            return self._appeal(meant, stored, verdict)
        if not self._hurried and (verdict is False or not self._bucket.is_sure(stored)):
            self._bucket.require_open(stored)
        size = meant.bytes if meant.bytes is not None else size_of(meant.here)
        if size is None:
            return Judgement("presence")
        return Judgement("size") if size == stored.bytes else self.read(meant, stored)

    def _readable(self, meant: Meant, stored: Stored) -> Judgement:
        """By its hash, where what these credentials may list they may read, as a sample tells."""
        if not self.lets_read and stored.bytes <= _SAMPLE:
            if (judgement := self.read(meant, stored)).wrong:
                return judgement
        elif not self.lets_read:
            self._bucket.require_open(stored)
        self.lets_read = True
        return Judgement("hash")

    def _appeal(self, meant: Meant, stored: Stored, verdict: bool | None) -> Judgement:
        judgement = self.read(meant, stored)
        if verdict is False and not judgement.wrong:
            self.hashes_are_content = False
        return judgement


def _by_hash(meant: Meant, stored: Stored) -> bool | None:
    """Whether the store's own hash is the right one; None where there is none to compare."""
    if not meant.md5:
        return None
    if stored.md5 is not None:
        return stored.md5 == meant.md5
    n_parts = math.ceil(stored.bytes / PART)
    if stored.etag is None or not stored.etag.endswith(f"-{n_parts}"):
        return None
    if size_of(meant.here) != stored.bytes:
        return None
    try:
        md5, composite = composite_etag(meant.here)
    except OSError:
        return None
    return composite == stored.etag if md5 == meant.md5 else None


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
