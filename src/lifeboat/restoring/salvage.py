"""Units and steps of unfinished stages brought back from the remote into the store.

Each is fetched beside the store and enters it by a rename, once its bytes hash to what an index
says. Indexes come from the remote and are read with distrust. A file of the store is replaced only
by a larger one of its name: a cut one by the whole one.
"""

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from lifeboat.deadlines import in_threads
from lifeboat.items import Item, counted, megabytes
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.restoring import arriving
from lifeboat.restoring.arriving import Refusal
from lifeboat.saving import partial
from lifeboat.saving.partial import Part
from lifeboat.stage import artifacts, progress

_KEPT = Refusal("is here already")


@dataclass
class Salvaged:
    """What came of bringing parts back.

    Attributes:
        brought: parts that entered the store now.
        kept: parts that the store had already.
        lost: parts that could not be brought back, and why.
        n_elsewhere: parts of other branches, which were left there.
        problems: indexes that could not be read, and a remote that failed, in sentences.
    """

    brought: list[Part] = field(default_factory=list)
    kept: list[Part] = field(default_factory=list)
    lost: list[tuple[Part, Refusal]] = field(default_factory=list)
    n_elsewhere: int = 0
    problems: list[str] = field(default_factory=list)


def salvage(store: Path, bucket: Bucket, branch: str, stages: Collection[str] | None) -> Salvaged:
    """Brings the parts of a branch that some stages can use into the store.

    Args:
        store: the folder of units.
        bucket: the remote.
        branch: the branch here; parts of other branches stay in the remote.
        stages: stages that will run; None where that is not known.
    """
    found = Salvaged()
    try:
        indexes = list(partial.read_indexes(bucket, found.problems))
    except StoreError as error:
        found.problems.append(str(error))
        return found
    parts = [part for index in indexes if index.branch == branch for part in index.parts]
    here = {part.sha256 for part in parts}
    others = {part.sha256 for index in indexes for part in index.parts}
    found.n_elsewhere = len(others - here)
    chosen, failed = _chosen(parts, stages), threading.Event()
    # A record makes its shard count, so records come when all else is there.
    for are_records in (False, True):
        those = [part for part in chosen if part.path.endswith(".json") == are_records]
        _bring(those, store, bucket, failed, found)
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
    for part, refusal in found.lost:
        fact = f"{part.path} of unfinished {part.stage} did not come back: it {refusal.reason}."
        cure = f"{refusal.cure} Else what it held is computed again.".strip()
        items.append(Item(fact, "wrong", cure))
    if found.n_elsewhere:
        fact = f"{counted(found.n_elsewhere, 'file')} of unfinished stages are of other branches."
        items.append(Item(fact, "ok", "Run `git switch BRANCH`, then `lifeboat restore`."))
    cure = "Run `lifeboat restore` again before `dvc repro`: what has come stays."
    return items + [Item(problem, "wrong", cure) for problem in found.problems]


def _chosen(parts: list[Part], stages: Collection[str] | None) -> list[Part]:
    """Each file that some stages can use once, the largest that any machine has."""
    best: dict[str, Part] = {}
    for part in parts:
        is_wanted = stages is None or part.stage in stages
        if is_wanted and (part.path not in best or part.bytes > best[part.path].bytes):
            best[part.path] = part
    return sorted(best.values(), key=lambda part: part.path)


def _bring(
    parts: list[Part], store: Path, bucket: Bucket, failed: threading.Event, found: Salvaged
) -> None:
    """Brings parts into the store, several at a time, until the remote fails."""
    folder = store / ".arriving"

    def bring(part: Part) -> Refusal | None:
        place = store / part.path
        if place.is_file() and place.stat().st_size >= part.bytes:
            return _KEPT
        if failed.is_set():
            return Refusal("the remote failed before its turn")
        sha256 = artifacts.sha256_file
        try:
            return arriving.bring(
                bucket, part.key, place, folder, lambda path: sha256(path) == part.sha256
            )
        except StoreError as error:
            failed.set()
            return Refusal(error.reason, error.cure)

    with (
        progress.bar("bringing parts back", len(parts), "files", shown=bool(parts)) as advance,
        arriving.gate(folder),
    ):
        refusals = in_threads(bring, parts, arriving.N_THREADS)
        for part, refusal in zip(parts, refusals, strict=True):
            advance(1)
            if refusal is _KEPT:
                found.kept.append(part)
            elif refusal:
                found.lost.append((part, refusal))
            else:
                found.brought.append(part)
