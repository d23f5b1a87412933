"""The unfinished stages of a project, and what of them can be saved: their parts."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lifeboat import project
from lifeboat.deadlines import Deadline, in_threads
from lifeboat.git import wip
from lifeboat.items import Item, megabytes
from lifeboat.proof import expected as expectations
from lifeboat.proof.comparison import Judge
from lifeboat.proof.expected import WORKSPACE, Expected, Out
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving import partial, stopping, store_parts, unsaved
from lifeboat.saving.jobs import Job
from lifeboat.saving.partial import Index, Part
from lifeboat.saving.store_parts import Unsent
from lifeboat.stage.errors import UserError

INTERIM_S = 2.0
"""Seconds between two writings of the index while parts arrive."""


@dataclass(frozen=True)
class Kept:
    """What of unfinished work is in the remote.

    Attributes:
        parts: what is there.
        left: what should be and is not, and why.
    """

    parts: tuple[Part, ...] = ()
    left: tuple[tuple[Job, str], ...] = ()


def save(
    root: Path, expected: Expected, bucket: Bucket, deadline: Deadline, *, late_too: bool = False
) -> Kept:
    """Sends pieces of outs, units and steps, that no saved out holds, and then their index.

    What was sent before stays in the index until the remote has the finished out: should the
    machine go now, that is what is left of it. So while many are on their way, the index is
    written now and then with those that have arrived.

    Args:
        root: the project.
        expected: what HEAD and the workspace expect the remote to hold.
        bucket: the remote.
        deadline: when it has to end.
        late_too: whether pieces of finished outs that the remote lacks are sent as parts as well.
            Each of them is of use alone, where half an out is of none.

    Raises:
        UserError: where the remote cannot be asked, or does not take the index.
    """
    store, here = project.store(root), wip.head(root)
    late = not_there(root, expected, bucket)
    name = project.machine_name(root)
    with store_parts.alone(store, deadline):
        before = partial.read_index(bucket, name, here.branch)
        wanted = waiting(root, expected, bucket, late if late_too else ())
        known = before.parts if before else ()
        interim = _Interim(bucket, Index(name, here.commit, here.branch, known))
        parts, sent = store_parts.send(store, wanted, bucket, deadline, known, interim.tell)
        interim.is_over = True
        # An old step is better than none where the new one did not make it. And a unit's steps go
        # when it is made, which may be before its out is in the remote.
        needed = {out.stage for out in late} | {job.stage for job, _reason in sent.left}
        fresh = {part.path for part in parts}
        old = [part for part in known if part.path not in fresh and part.stage in needed]
        index = Index(name, here.commit, here.branch, (*parts, *old))
        if index != (interim.written or before) and (index.parts or before):
            partial.write_index(bucket, index)
    # What is gone meanwhile was a step before a later one, or its unit is made.
    return Kept(index.parts, tuple(one for one in sent.left if (store / one[0].path).exists()))


@dataclass
class _Interim:
    """The index while parts arrive: those of before, as far as nothing newer has come, and these.

    Attributes:
        bucket: the remote.
        before: what the machine had of the branch.
        written: the last one that was written.
        is_over: whether all have been waited for; what arrives later is told in vain.
    """

    bucket: Bucket
    before: Index
    written: Index | None = None
    is_over: bool = False
    _next_at: float = field(default_factory=lambda: time.monotonic() + INTERIM_S)

    def tell(self, parts: Sequence[Part]) -> None:
        """Writes the index, if the last one is old enough."""
        if self.is_over or time.monotonic() < self._next_at:
            return
        fresh = {part.path for part in parts}
        old = (part for part in self.before.parts if part.path not in fresh)
        index = replace(self.before, parts=(*sorted(parts, key=lambda one: one.path), *old))
        self._next_at = time.monotonic() + INTERIM_S
        with contextlib.suppress(UserError):  # the last one, which has to arrive, tells why
            partial.write_index(self.bucket, index)
            self.written = index


def not_there(root: Path, expected: Expected, bucket: Bucket) -> list[Out]:
    """Recorded outs that are made of pieces and that the remote does not have yet.

    A folder's list is sent after its files, so it stands for all of them.
    """
    store = project.store(root)
    outs = [o for o in expected.outs if WORKSPACE in o.places and (store / o.path).is_dir()]
    judge = Judge(bucket)
    found = in_threads(lambda out: judge.ask(expected.meant(out.oid)), outs)
    return [out for out, verdict in zip(outs, found, strict=True) if verdict.wrong]


def waiting(
    root: Path, expected: Expected, bucket: Bucket | None, late: Sequence[Out] = ()
) -> list[Unsent]:
    """Files of the store that are to be saved; without a bucket perhaps more than need be.

    Args:
        root: the project.
        expected: what HEAD and the workspace expect the remote to hold.
        bucket: where the list of an out's files is looked up, if it is not in the local cache.
        late: finished outs that count as unfinished.

    Raises:
        UserError: where the remote cannot be asked.
    """
    # A stage counts until dvc.lock records all of its outs, and again while an out is not there:
    # DVC deletes outs before it runs a stage.
    stages = {
        out: stage
        for out, stage in expected.stage_by_out.items()
        if stage in expected.unfinished or not (root / out).exists()
    }
    stages |= {out.path: out.stage for out in late}
    store, names = project.store(root), set[str]()
    if bucket:
        there = [out for out in expected.outs if out not in late]
        recorded = [out for out in there if out.path in stages and (store / out.path).is_dir()]
        found = expectations.objects(recorded, expected, bucket)
        names = {Path(entry.path).name for entry in found}
    return store_parts.waiting(store, names, stages, project.rank(root))


def require_all(kept: Kept, bucket: Bucket) -> None:
    """Checks that the remote, asked anew, has every part.

    Raises:
        UserError: naming what it does not have.
    """
    if absent := partial.absent(kept.parts, bucket):
        named = ", ".join(f"{part.path} ({verdict.wrong})" for part, verdict in absent)
        cure = next((verdict.cure for _part, verdict in absent if verdict.cure), "")
        raise UserError(f"{bucket.url} does not have {len(absent)} parts: {named}.", cure)


def late_items(root: Path, expected: Expected, kept: Kept | None) -> list[Item]:
    """The files that did not make it, by their reasons; all of them where nothing is known."""
    if kept is None:
        parts, unknown = waiting(root, expected, None), "nothing is known of it"
        late = [(part.path, part.stage, unknown) for part in parts]
    else:
        late = [(job.path, job.stage, reason) for job, reason in kept.left]
    by_reason: dict[tuple[str, str], list[str]] = {}
    for path, stage, reason in late:
        by_reason.setdefault((stage, reason), []).append(path)
    return [_late(paths, stage, reason) for (stage, reason), paths in by_reason.items()]


def items(root: Path, expected: Expected, kept: Kept | None, bucket: Bucket) -> list[Item]:
    """What is saved of the stages that have not finished, and what is not, stage by stage.

    That a stage is unfinished is no fault. It is one where work would be lost that nothing holds:
    an out that dvc.lock does not record, a stage that is running and has no parts.

    Raises:
        UserError: where the pipeline cannot be read.
    """
    there = unsaved.read(root, [])
    parts = kept.parts if kept else ()
    running = {name for _process, name in stopping.stages(root)}
    found = []
    for stage in sorted({*there.unfinished, *there.killed}):
        own = [part for part in parts if part.stage == stage]
        outs = [out for out, whose in expected.stage_by_out.items() if whose == stage]
        outs = [out for out in outs if stage in there.unfinished and (root / out).exists()]
        found.append(_stage_item(stage, own, outs, stage in running, bucket))
    return [*found, *unsaved.differing(there)]


def _late(paths: list[str], stage: str, reason: str) -> Item:
    what = ", ".join(paths) if len(paths) <= 3 else f"{paths[0]} and {len(paths) - 1} more files"
    fact = f"NOT SAVED: {what} of the unfinished stage {stage}: {reason.rstrip('.')}."
    return Item(fact, "wrong", "Run it again: what arrived stays.")


def _stage_item(
    stage: str, parts: list[Part], outs: list[str], is_running: bool, bucket: Bucket
) -> Item:
    if outs:
        fact = f"NOT SAVED: {', '.join(outs)}, which dvc.lock does not record: stage `{stage}` has"
        return Item(f"{fact} not finished.", "wrong", unsaved.CURE)
    if not parts:
        fact = f"Stage `{stage}` has not finished, and it has no parts that could be saved."
        if is_running:
            fact = f"{fact} WHAT IT HAS DONE SO FAR IS NOT SAVED: it is running."
            return Item(fact, "wrong", "Wait for its end before the machine goes.")
        return Item(fact, "warning", unsaved.CURE)
    n_bytes = sum(part.bytes for part in parts)
    fact = f"Stage `{stage}` has not finished: NOT SAVED but for its parts, {len(parts)} files"
    fact = f"{fact} ({megabytes(n_bytes)}) in {bucket.url.rstrip('/')}/partial."
    return Item(fact, "warning", unsaved.CURE)
