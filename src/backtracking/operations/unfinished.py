"""The unfinished stages of a project, and what of them can be saved: their parts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backtracking.errors import UserError
from backtracking.operations import expected as expectations
from backtracking.operations import machine, partial, wip
from backtracking.operations.bucket import Bucket
from backtracking.operations.deadlines import Deadline
from backtracking.operations.expected import Expected
from backtracking.operations.partial import Index, Part
from backtracking.operations.sending import Sent
from backtracking.workspace import Workspace


@dataclass(frozen=True)
class Kept:
    """What of unfinished work is in the remote.

    Attributes:
        parts: what is there.
        sent: what of it came now or was there, and what did not make it.
    """

    parts: tuple[Part, ...] = ()
    sent: Sent = Sent((), ())


def stage_by_out(root: Path, expected: Expected) -> dict[str, str]:
    """The outs that are still to be made, and whose they are.

    A stage counts until dvc.lock records all of its outs, and again while an out is not there: DVC
    deletes outs before it runs a stage.
    """
    return {
        out: stage
        for out, stage in expected.stage_by_out.items()
        if stage in expected.unfinished or not (root / out).exists()
    }


def save(root: Path, expected: Expected, bucket: Bucket, deadline: Deadline) -> Kept:
    """Sends shards and checkpoints that no finished, saved out holds, and then their index.

    Raises:
        UserError: where the remote cannot be asked, or does not take the index.
    """
    store = Workspace(root).store
    waiting = stage_by_out(root, expected)
    name, here = machine.name(store), wip.head(root)
    with partial.alone(store, deadline):
        before = partial.read_index(bucket, name)
        wanted = partial.waiting(store, held(expected, waiting, bucket), waiting)
        known = before.parts if before else ()
        parts, sent = partial.send(store, wanted, bucket, deadline, known)
        index = Index(name, here.commit, here.branch, (*parts, *_kept(known, parts, sent)))
        if index != before and (index.parts or before):
            partial.write_index(bucket, index)
    return Kept(index.parts, sent)


def held(expected: Expected, waiting: dict[str, str], bucket: Bucket) -> set[str]:
    """Names of the shards that recorded outs hold; none are looked up where no stage waits."""
    if not any(out.startswith(partial.ACTIVATIONS) for out in waiting):
        return set()
    recorded = [out for out in expected.outs if out.path.startswith(partial.ACTIVATIONS)]
    found = expectations.objects(recorded, expected, bucket)
    return {Path(entry.path).name for entry in found}


def _kept(before: Iterable[Part], parts: Iterable[Part], sent: Sent) -> list[Part]:
    """Earlier parts of files that did not make it now: an old checkpoint is better than none."""
    fresh, late = {part.path for part in parts}, {job.path for job, _reason in sent.left}
    return [part for part in before if part.path in late - fresh]


def require_all(kept: Kept, bucket: Bucket) -> None:
    """Checks that a listing of the remote shows every part.

    Raises:
        UserError: naming what it does not show.
    """
    if absent := partial.absent(kept.parts, bucket):
        named = ", ".join(part.path for part in absent)
        raise UserError(f"{bucket.url} does not show {len(absent)} parts: {named}.")
