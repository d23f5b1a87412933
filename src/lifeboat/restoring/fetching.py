"""Finished data brought back from a remote into DVC's cache, hash by hash.

An object is fetched beside the cache and enters it by a rename, read-only, once its bytes hash to
its name; a folder's list enters after its files. No lock of DVC is taken for it. What is in the
cache stays, so a fetch that was interrupted goes on where it stopped.
"""

import hashlib
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lifeboat.deadlines import in_threads
from lifeboat.items import Item, megabytes
from lifeboat.proof import expected as expectation
from lifeboat.proof import manifests
from lifeboat.proof.expected import WORKSPACE, Expected, Object, Out
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.restoring import arriving
from lifeboat.stage import progress

N_THREADS = 8
_ARRIVING = "arriving"


@dataclass(frozen=True)
class Loss:
    """An object that could not be brought back.

    Attributes:
        object: the object.
        reason: why, as the end of a sentence about it.
        altered: whether the remote has other bytes under its name.
    """

    object: Object
    reason: str
    altered: bool = False


@dataclass
class Fetched:
    """What came of a fetch.

    Attributes:
        whole: outs all of whose objects are in the cache.
        losses: what of every other out is not to be had, by out.
        n_objects: objects that were fetched now.
        n_bytes: their size.
        stopped: why the fetch ended early, empty where it did not.
    """

    whole: list[Out] = field(default_factory=list)
    losses: dict[Out, list[Loss]] = field(default_factory=dict)
    n_objects: int = 0
    n_bytes: int = 0
    stopped: str = ""


def fetch(wanted: Expected, bucket: Bucket) -> Fetched:
    """Brings every out that the workspace's dvc.lock and .dvc files record into DVC's cache.

    The smallest come first. A remote that fails for another reason than that it lacks an object
    ends the fetch, and so does a disk that is full.
    """
    outs = [out for out in wanted.outs if WORKSPACE in out.places]
    n_objects = sum((out.n_files or 0) + 1 for out in outs)
    with (
        progress.bar("bringing data back", n_objects, "objects", shown=bool(outs)) as advance,
        arriving.gate(wanted.cache / _ARRIVING),
    ):
        fetcher = _Fetcher(wanted, bucket, advance)
        for out in sorted(outs, key=lambda out: (out.bytes or 0, out.path)):
            fetcher.bring(out)
        return fetcher.fetched


def told(fetched: Fetched, url: str) -> list[Item]:
    """What a fetch brought and what it did not, as items."""
    if not fetched.whole and not fetched.losses:
        return [Item("No stage had finished: dvc.lock and .dvc files record no data.")]
    n, size = fetched.n_objects, megabytes(fetched.n_bytes)
    outs = f"{len(fetched.whole)} of {len(fetched.whole) + len(fetched.losses)} finished outs"
    fact = f"{outs} are whole in DVC's cache; {n} objects, {size}, came from {url}"
    items = [Item(f"{fact}, each hashed." if n else f"{fact}.")]
    items += [_lost(out, losses, url) for out, losses in fetched.losses.items() if losses]
    if fetched.stopped:
        cure = "Mend that and run `lifeboat restore` again: what has come stays."
        items.append(Item(fetched.stopped, "wrong", cure))
    return items


class _Fetcher:
    """Objects into the cache, several at a time."""

    def __init__(self, wanted: Expected, bucket: Bucket, advance: progress.Advance) -> None:
        self.fetched = Fetched()
        self._wanted, self._bucket, self._advance = wanted, bucket, advance
        self._arriving = wanted.cache / _ARRIVING
        self._lock = threading.Lock()

    def bring(self, out: Out) -> None:
        """Brings an out, unless the remote has failed before."""
        losses: list[Loss] = []
        if not self.fetched.stopped:
            try:
                losses = self._bring_all(out)
            except StoreError as error:
                self.fetched.stopped = _told_of(error, self._arriving)
            except manifests.DamagedListError as error:
                losses = [Loss(Object(out.oid, out.path, None, out.stage), str(error), True)]
        if losses or self.fetched.stopped:
            self.fetched.losses[out] = losses
        else:
            self.fetched.whole.append(out)

    def _bring_all(self, out: Out) -> list[Loss]:
        """A folder's files, then its list; or the one file."""
        own: list[Object] = []

        def files() -> Iterator[Object]:
            for wanted in expectation.objects([out], self._wanted, self._bucket):
                if wanted.oid == out.oid:
                    own.append(wanted)
                else:
                    yield wanted

        losses = [loss for loss in in_threads(self._fetch, files(), N_THREADS) if loss]
        if not own[0].is_known:
            is_there = self._bucket.find(manifests.key(out.oid)) is not None
            reason = "is no sound list of its files" if is_there else "is not there"
            losses.append(Loss(own[0], f"{reason}, so its files are unknown", is_there))
        return losses or [loss for loss in map(self._fetch, own) if loss]

    def _fetch(self, wanted: Object) -> Loss | None:
        place = self._wanted.cached(wanted.oid)
        if not _is_here(place, wanted.oid) and (loss := self._arrive(wanted, place)):
            return loss
        with self._lock:
            self._advance(1)
        return None

    def _arrive(self, wanted: Object, place: Path) -> Loss | None:
        def is_right(path: Path) -> bool:
            return _md5(path) == wanted.oid.removesuffix(".dir")

        key, folder = manifests.key(wanted.oid), self._arriving
        try:
            n_bytes = arriving.bring(self._bucket, key, place, folder, is_right, 0o444)
        except StoreError as error:
            if error.kind == "missing object":
                return Loss(wanted, "is not there")
            raise
        if n_bytes is None:
            return Loss(wanted, "has other bytes than its name says", True)
        with self._lock:
            self.fetched.n_objects += 1
            self.fetched.n_bytes += n_bytes
        return None


def _is_here(place: Path, oid: str) -> bool:
    """Whether the cache has an object; one that may be written to is hashed, as DVC does."""
    try:
        is_writable = place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        return not is_writable or _md5(place) == oid.removesuffix(".dir")
    except OSError:
        return False


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _told_of(error: StoreError, arriving: Path) -> str:
    """Why a fetch ended; where a disk is full, it is the one that is written to."""
    return f"The disk of {arriving.parent} is full." if error.kind == "disk full" else str(error)


def _lost(out: Out, losses: list[Loss], url: str) -> Item:
    """An out that is not whole: every altered object by name, and some of the missing ones."""
    altered = [loss for loss in losses if loss.altered]
    missing = [loss for loss in losses if not loss.altered]
    named = [*altered, *missing[:3]]
    said = [f"{loss.object.path} ({loss.object.oid}) {loss.reason}" for loss in named]
    more = f"; {len(missing) - 3} more are not there" if len(missing) > 3 else ""
    fact = f"`{out.path}` of `{out.stage}` cannot be brought back from {url}: "
    if out.stage.endswith(".dvc"):
        return Item(f"{fact}{'; '.join(said)}{more}.", "wrong", "No stage makes it.")
    cure = "Its stage runs again; `lifeboat push` then saves what it makes."
    return Item(f"{fact}{'; '.join(said)}{more}.", "wrong" if altered else "warning", cure)
