"""Units and steps of unfinished stages brought back from the remote into the store.

Each is fetched beside the store and enters it by a rename, once its bytes hash to what an index
says. Indexes come from the remote and are read with distrust. A file of the store is replaced only
by a larger one of its name: a cut one by the whole one.
"""

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lifeboat.items import Item, counted, megabytes
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.restoring import arriving
from lifeboat.saving import partial
from lifeboat.saving.partial import Index, Part
from lifeboat.stage import artifacts, progress
from lifeboat.stage.errors import UserError

N_THREADS = 8
_ARRIVING = ".arriving"
_KEPT = "it is here already"


@dataclass
class Salvaged:
    """What came of bringing parts back.

    Attributes:
        brought: parts that entered the store now.
        kept: parts that the store had already.
        lost: parts that could not be brought back, and why.
        n_elsewhere: parts of other branches, which were left there.
        n_useless: parts of stages that will not run, which were left there.
        problems: indexes that could not be read, and a remote that failed, in sentences.
    """

    brought: list[Part] = field(default_factory=list)
    kept: list[Part] = field(default_factory=list)
    lost: list[tuple[Part, str]] = field(default_factory=list)
    n_elsewhere: int = 0
    n_useless: int = 0
    problems: list[str] = field(default_factory=list)


def salvage(store: Path, bucket: Bucket, branch: str, stages: Collection[str]) -> Salvaged:
    """Brings the parts of a branch that some stages can use into the store.

    Args:
        store: the folder of units.
        bucket: the remote.
        branch: the branch here; parts of other branches stay in the remote.
        stages: stages that will run.
    """
    found = Salvaged()
    try:
        indexes = list(_indexes(bucket, found))
    except StoreError as error:
        found.problems.append(str(error))
        return found
    chosen = _chosen(indexes, branch, stages, found)
    with arriving.gate(store / _ARRIVING):
        bringer = _Bringer(store, bucket, found)
        # A record makes its shard count, so records come when all else is there.
        for are_records in (False, True):
            bringer.bring_all([p for p in chosen if p.path.endswith(".json") == are_records])
    return found


def told(found: Salvaged) -> list[Item]:
    """What was brought back and what was not, as items."""
    items = []
    for stages in sorted({part.stage for part in found.brought}):
        parts = [part for part in found.brought if part.stage == stages]
        size = megabytes(sum(part.bytes for part in parts))
        fact = f"{counted(len(parts), 'file')} of unfinished {stages} came back, {size}"
        items.append(Item(f"{fact}, each hashed: the stage goes on from there."))
    if found.kept:
        files = counted(len(found.kept), "file")
        items.append(Item(f"{files} of unfinished stages were here already."))
    for part, reason in found.lost:
        fact = f"{part.path} of unfinished {part.stage} did not come back: {reason}."
        items.append(Item(fact, "wrong", "What it held is computed again."))
    if found.n_elsewhere:
        fact = f"{counted(found.n_elsewhere, 'file')} of unfinished stages are of other branches."
        items.append(Item(fact, "ok", "Run `git switch BRANCH`, then `lifeboat restore`."))
    cure = "Run `lifeboat restore` again before `dvc repro`: what has come stays."
    return items + [Item(problem, "wrong", cure) for problem in found.problems]


def _indexes(bucket: Bucket, found: Salvaged) -> Iterator[Index]:
    for stored in bucket.list(partial.INDEXES):
        if not stored.key.endswith(".json"):
            continue
        try:
            yield partial.parse_index(bucket.read(stored.key), stored.key)
        except StoreError:
            raise
        except UserError as error:
            found.problems.append(str(error))


def _chosen(
    indexes: list[Index], branch: str, stages: Collection[str], found: Salvaged
) -> list[Part]:
    """Each file once, the largest that any machine of the branch has."""
    best: dict[str, Part] = {}
    useless: set[str] = set()
    elsewhere: set[str] = set()
    for index in indexes:
        for part in index.parts:
            if index.branch != branch:
                elsewhere.add(part.sha256)
            elif part.stage not in stages:
                useless.add(part.sha256)
            elif part.path not in best or part.bytes > best[part.path].bytes:
                best[part.path] = part
    chosen = {part.sha256 for part in best.values()}
    found.n_useless = len(useless)
    found.n_elsewhere = len(elsewhere - chosen - useless)
    return sorted(best.values(), key=lambda part: part.path)


class _Bringer:
    """Parts into the store, several at a time, until the remote fails."""

    def __init__(self, store: Path, bucket: Bucket, found: Salvaged) -> None:
        self._store, self._bucket, self._found = store, bucket, found
        self._failed = threading.Event()

    def bring_all(self, parts: list[Part]) -> None:
        """Brings parts, and notes what came of each."""
        with (
            progress.bar("bringing parts back", len(parts), "files", shown=bool(parts)) as advance,
            ThreadPoolExecutor(N_THREADS, "salvage") as pool,
        ):
            for part, reason in zip(parts, pool.map(self._bring, parts), strict=True):
                advance(1)
                if reason == _KEPT:
                    self._found.kept.append(part)
                elif reason:
                    self._found.lost.append((part, reason))
                else:
                    self._found.brought.append(part)

    def _bring(self, part: Part) -> str:
        """Why a part did not enter the store, empty where it did."""
        place = self._store / part.path
        if place.is_file() and place.stat().st_size >= part.bytes:
            return _KEPT
        if self._failed.is_set():
            return "the remote failed before its turn"

        def is_right(path: Path) -> bool:
            return artifacts.sha256_file(path) == part.sha256

        try:
            folder = self._store / _ARRIVING
            came = arriving.bring(self._bucket, part.key, place, folder, is_right)
            return "the remote has other bytes under its name" if came is None else ""
        except StoreError as error:
            if error.kind != "missing object":
                self._failed.set()
            return str(error).rstrip(".")
