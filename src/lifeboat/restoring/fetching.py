"""Finished data brought back from a remote into DVC's cache, hash by hash.

An object is fetched beside the cache and enters it by a rename, read-only, once its bytes hash to
its name; a folder's list enters after its files. No lock of DVC is taken for it. What is in the
cache stays, so a fetch that was interrupted goes on where it stopped.
"""

import hashlib
import stat
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from lifeboat.deadlines import in_threads
from lifeboat.items import Item, megabytes
from lifeboat.proof import expected as expectation
from lifeboat.proof import manifests
from lifeboat.proof.expected import WORKSPACE, Expected, Object, Out
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.restoring import arriving
from lifeboat.restoring.arriving import Refusal
from lifeboat.stage import progress

Loss: TypeAlias = tuple[Object, Refusal]
"""An object that could not be brought back, and why."""

_NOT_SOUND = Refusal("was no sound list of its files just now, so its files are unknown")


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

    The smallest come first. What is not there, not readable or altered keeps nothing else back; a
    remote that fails ends the fetch, and so does a disk that is full.
    """
    outs = [out for out in wanted.outs if WORKSPACE in out.places]
    n_objects = sum((out.n_files or 0) + 1 for out in outs)
    found, folder = Fetched(), wanted.cache / "arriving"
    with (
        progress.bar("bringing data back", n_objects, "objects", shown=bool(outs)) as advance,
        arriving.gate(folder),
    ):
        fetcher = _Fetcher(wanted, bucket, folder, advance, found)
        for out in sorted(outs, key=lambda out: (out.bytes or 0, out.path)):
            losses = [] if found.stopped else fetcher.bring(out)
            if losses or found.stopped:
                found.losses[out] = losses
            else:
                found.whole.append(out)
    return found


def told(fetched: Fetched, url: str) -> list[Item]:
    """What a fetch brought and what it did not, as items."""
    if not fetched.whole and not fetched.losses:
        return [Item("No stage had finished: dvc.lock and .dvc files record no data.")]
    n, size = fetched.n_objects, megabytes(fetched.n_bytes)
    outs = f"{len(fetched.whole)} of {len(fetched.whole) + len(fetched.losses)} finished outs"
    fact = f"{outs} are whole in DVC's cache; {n} objects, {size}, came from {url}"
    items = [Item(f"{fact}, each hashed." if n else f"{fact}.")]
    absent = [out for out, losses in fetched.losses.items() if _is_absent(out, losses)]
    rest = {out: losses for out, losses in fetched.losses.items() if losses and out not in absent}
    items += [_lost(out, losses, url) for out, losses in rest.items()]
    for is_made in (True, False):
        if those := [out for out in absent if _is_made(out) == is_made]:
            items.append(_not_there(those, url))
    if fetched.stopped:
        cure = "Mend that and run `lifeboat restore` again: what has come stays."
        items.append(Item(fetched.stopped, "wrong", cure))
    return items


@dataclass(frozen=True)
class _Fetcher:
    """Objects into the cache, several at a time."""

    wanted: Expected
    bucket: Bucket
    folder: Path
    advance: progress.Advance
    found: Fetched
    lock: threading.Lock = field(default_factory=threading.Lock)

    def bring(self, out: Out, *, again: bool = True) -> list[Loss]:
        """Brings a folder's files, then its list; or the one file. What did not come.

        A list that could not be read may come as a file, as files are asked for otherwise: then
        it is read `again`.
        """
        try:
            files = expectation.objects([out], self.wanted, self.bucket)
            own = next(files)
            losses = [loss for loss in in_threads(self._fetch, files, arriving.N_THREADS) if loss]
            if not own.is_known:
                refusal = self._list_refused(out)
                if again and refusal is _NOT_SOUND:
                    return self.bring(out, again=False)
                return [(own, refusal)]
            return losses or [loss for loss in [self._fetch(own)] if loss]
        except StoreError as error:
            is_full = error.kind == "disk full"  # the one that is written to
            disk = f"The disk of {self.wanted.cache} is full."
            self.found.stopped = disk if is_full else str(error)
        except manifests.DamagedListError as error:
            return [(Object(out.oid, out.path, None, out.stage), Refusal(str(error)))]
        return []

    def _list_refused(self, out: Out) -> Refusal:
        """Why a folder's list is not to be had."""
        place = self.wanted.cached(out.oid)
        refusal = self._bring(out.oid, place)
        if refusal is None:
            return _NOT_SOUND
        return replace(refusal, reason=f"{refusal.reason}, so its files are unknown")

    def _fetch(self, wanted: Object) -> Loss | None:
        place, oid = self.wanted.cached(wanted.oid), wanted.oid.removesuffix(".dir")
        if is_new := not _is_here(place, oid):
            refusal = self._bring(wanted.oid, place)
            if refusal:
                return wanted, refusal
        with self.lock:
            self.advance(1)
            self.found.n_objects += is_new
            self.found.n_bytes += place.stat().st_size if is_new else 0
        return None

    def _bring(self, oid: str, place: Path) -> Refusal | None:
        key, md5 = manifests.key(oid), oid.removesuffix(".dir")
        return arriving.bring(
            self.bucket, key, place, self.folder, lambda path: _md5(path) == md5, 0o444
        )


def _is_here(place: Path, oid: str) -> bool:
    """Whether the cache has an object; one that may be written to is hashed, as DVC does."""
    try:
        is_writable = place.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
        return not is_writable or _md5(place) == oid
    except OSError:
        return False


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _is_made(out: Out) -> bool:
    return not out.stage.endswith(".dvc")


def _is_absent(out: Out, losses: list[Loss]) -> bool:
    """Whether nothing of an out is known to be there: neither its one file nor its list."""
    return any(one.oid == out.oid and why.kind == "missing object" for one, why in losses)


def _not_there(outs: list[Out], url: str) -> Item:
    """Outs of which a remote has nothing, in one line."""
    named = ", ".join(f"`{out.path}`" for out in outs)
    fact = f"NOT BROUGHT BACK, because {url} does not have them: {named}."
    look = (
        "Is it another branch (`git switch`) or another remote (`--remote`, `lifeboat remote set`)?"
    )
    return Item(fact, "wrong", f"{look} Else: {_again(_is_made(outs[0]))}")


def _again(is_made: bool) -> str:
    return "their stages run again." if is_made else "no stage makes them."


def _lost(out: Out, losses: list[Loss], url: str) -> Item:
    """An out that is not whole: every altered object by name, and some of the others."""
    altered = [loss for loss in losses if loss[1].altered]
    others = [loss for loss in losses if not loss[1].altered]
    named = [*altered, *others[:3]]
    said = [f"{object_.path} ({object_.oid}) {refusal.reason}" for object_, refusal in named]
    more = f"; and {len(others) - 3} more" if len(others) > 3 else ""
    fact = f"`{out.path}` of `{out.stage}` cannot be brought back from {url}: "
    again = "Its stage runs again; `lifeboat push` then saves what it makes."
    again = again if _is_made(out) else "No stage makes it."
    cure = next((refusal.cure for _object, refusal in losses if refusal.cure), "")
    cure = f"{cure} Else: {again[0].lower()}{again[1:]}" if cure else again
    return Item(f"{fact}{'; '.join(said)}{more}.", "wrong", cure)
