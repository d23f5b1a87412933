"""`lifeboat backup`: code and data leave this machine, and it is proven that they arrived.

In order: running stages are asked to stop where their work is saved, if that is wanted; a
snapshot; a commit, on the branch or beside it; git; finished data; parts of unfinished stages; the
proofs, of data and of code; a receipt. Each step saves what it can, whatever became of the one
before. DVC's lock is never taken, so that it can run beside `dvc repro`, and everything may be cut
off at any point: nothing in a remote is ever half there, and the next run goes on from what
arrived.
"""

from pathlib import Path

from lifeboat import processes, project
from lifeboat.deadlines import Deadline, within
from lifeboat.git import refs, wip
from lifeboat.items import Item
from lifeboat.proof import expected as expectations
from lifeboat.proof import held, receipts
from lifeboat.proof.expected import Expected
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import finished, sending, snapshot, unfinished
from lifeboat.saving import stopping as stops
from lifeboat.saving.backup_run import Run, leave_receipt
from lifeboat.saving.finished import Proof
from lifeboat.saving.unfinished import Kept
from lifeboat.stage.errors import UserError


def backup(
    root: Path,
    message: str = "",
    seconds: float | int | None = None,
    *,
    stop: bool = False,
    items: list[Item] | None = None,
) -> list[Item]:
    """Saves all that is worth it, and says what is proven and what is not.

    Args:
        root: the project.
        message: asks for a commit of every change on the branch that is checked out.
        seconds: how long it may take; without it, as long as it needs.
        stop: whether running stages are asked to stop.
        items: a list that takes what is known as it comes, for one who may not see the end.

    Raises:
        UserError: where `root` is not a git repository.
    """
    run = Run(root, Deadline.after(seconds), [] if items is None else items)
    if not processes.is_in_git(root):
        processes.require_repository(root)
    stopping = stops.ask(root) if stop else None
    saved = _save_code(run, message)
    if stopping:
        run.items += stopping.wait(run.share(0.4))
    run.attempt(lambda: _save_data(run))
    run.items += run.attempt(lambda: _compare(run, saved)) or [] if saved else []
    leave_receipt(run)
    return run.items


def _save_code(run: Run, message: str) -> wip.Saved | None:
    """The commit that holds the working tree, where there could be one."""
    root, quarter = run.root, run.share(0.25)
    if run.attempt(lambda: wip.head(root)) is None:  # git does not work here, but DVC may
        return None
    run.content = run.attempt(lambda: within(quarter, "git", lambda: wip.content(root))) or ""
    run.folder = run.attempt(lambda: _take_snapshot(run))
    if saved := run.attempt(lambda: _commit(run, message)):
        run.items += saved.items
        run.pushed = run.attempt(lambda: refs.push(root, saved, run.share(0.5)))
        run.items += run.pushed.items if run.pushed else []
        run.items += refs.only_here(root)
    return run.pushed or saved


def _take_snapshot(run: Run) -> Path | None:
    """The folder of a new snapshot, or of the last one where nothing has changed since."""
    last = receipts.newest(run.root)
    if last and run.content and last[1].content_sha256 == run.content:
        folder = last[0].parent
        fact = f"Nothing that git holds has changed since snapshot runs/{folder.name}/."
        run.items.append(Item(fact))
        return folder
    run.items += within(run.share(0.25), "The snapshot", lambda: snapshot.take(run.root))
    taken = (run.root / "runs").glob("*/metadata.txt")
    return max((path.parent for path in taken), default=None)


def _compare(run: Run, saved: wip.Saved) -> list[Item]:
    """What the commit that was pushed holds of the files that are there."""
    if not saved.commit:
        return []
    time = run.deadline.sooner(min(1.0, run.deadline.left / 2))
    what = "Comparing the files with the commit"
    return within(time, what, lambda: held.items(run.root, saved, time))


def _commit(run: Run, message: str) -> wip.Saved:
    """On the branch where that is right and its hooks end in time, else beside it."""
    if run.deadline.is_never:
        return wip.save(run.root, message)
    try:
        ends = run.share(0.2)
        save = lambda: wip.save(run.root, message, deadline=ends)  # noqa: E731
        return within(run.share(0.25), "git commit", save)
    except UserError as error:
        run.items.append(Item(str(error), "warning"))
        return wip.save(run.root, aside=True)


def _save_data(run: Run) -> None:
    """Finished data and unfinished work, what is small and rare first."""
    root, where = run.root, remote.default(run.root)
    if where is None:
        raise UserError("DVC has no default remote: NO DATA IS SAVED.", remote.SET)
    expected = expectations.read(root)
    run.bucket = bucket = open_bucket(root)
    before = run.attempt(lambda: finished.look(root, expected, bucket, run.share(0.5)))
    wanted = finished.lost(before) if before else []
    told = project.contract(root)
    rare = [found for found in wanted if told.rank(found.path) < told.bulk]
    bulk = [found for found in wanted if told.rank(found.path) >= told.bulk]
    sent = [sending.send(rare, expected, root, bucket, run.reserved)]
    run.kept = run.attempt(lambda: _save_parts(run, expected, bucket))
    sent.append(sending.send(bulk, expected, root, bucket, run.reserved))
    if before:
        run.proof = run.attempt(lambda: finished.prove(root, before, sent, bucket, run.deadline))
    run.items += _finished_items(run.proof) if run.proof else finished.unknown(expected)
    run.items += unfinished.late_items(root, expected, run.kept)
    run.items += run.attempt(lambda: _unfinished_items(run, expected, bucket)) or []
    run.items += remote.survival(root, where)


def _finished_items(proof: Proof) -> list[Item]:
    """What is said of finished data; that there is none yet is no fault while stages wait."""
    found = proof.verified
    if not found.n_expected and not found.expected.problems and found.expected.unfinished:
        return [Item("No stage has finished: there is no finished data to save.", "warning")]
    return finished.items(proof)


def _unfinished_items(run: Run, expected: Expected, bucket: Bucket) -> list[Item]:
    """What is said of unfinished stages: outs of the workspace may have to be hashed for it."""
    what = "Comparing the workspace with dvc.lock"
    kept = run.kept
    return within(run.reserved, what, lambda: unfinished.items(run.root, expected, kept, bucket))


def _save_parts(run: Run, expected: Expected, bucket: Bucket) -> Kept:
    sooner = run.reserved.sooner(min(2.0, run.reserved.left / 4))

    def save() -> Kept:
        in_a_hurry = not run.deadline.is_never
        return unfinished.save(run.root, expected, bucket, sooner, late_too=in_a_hurry)

    kept = within(run.reserved, "Saving unfinished work", save)
    if run.deadline.is_never:
        unfinished.require_all(kept, bucket)
    return kept
