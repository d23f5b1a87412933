"""`lifeboat backup`: code and data leave this machine, and it is proven that they arrived.

In order: running stages are asked to stop where their work is saved, if that is wanted; a
snapshot; a commit, on the branch or beside it; git; finished data; parts of unfinished stages; the
proofs, of data and of code; a receipt. Each step saves what it can, whatever became of the one
before. DVC's lock is never taken, so that it can run beside `dvc repro`, and everything may be cut
off at any point: nothing in a remote is ever half there, and the next run goes on from what
arrived.
"""

from dataclasses import replace
from pathlib import Path

from lifeboat import processes, project, steps
from lifeboat.deadlines import Deadline, within
from lifeboat.git import index, refs, wip
from lifeboat.items import Item
from lifeboat.project import Contract
from lifeboat.proof import expected as expectations
from lifeboat.proof import held, receipts
from lifeboat.proof.expected import Expected
from lifeboat.proof.inspection import Finding
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import finished, sending, snapshot, unfinished
from lifeboat.saving import stopping as stops
from lifeboat.saving.backup_run import Run, leave_receipt
from lifeboat.saving.finished import Proof
from lifeboat.saving.jobs import Sent
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
    run = Run([] if items is None else items, root, Deadline.after(seconds))
    require = lambda: processes.is_in_git(root) or processes.require_repository(root)  # noqa: E731
    run.require("Asking git where this checkout stands", require)
    stopping = run.attempt("Stopping stages", lambda: stops.ask(root)) if stop else None
    saved = run.attempt("Saving code", lambda: _save_code(run, message))
    if stopping:
        run.add("Waiting for stages to stop", lambda: stopping.wait(run.share(0.4)))
    run.attempt("Saving data", lambda: _save_data(run))
    if saved:
        run.add("Comparing the files with the commit", lambda: _compare(run, saved))
    leave_receipt(run)
    return run.items


def _save_code(run: Run, message: str) -> wip.Saved | None:
    """The commit that holds the working tree, where there could be one."""
    root, quarter = run.root, run.share(0.25)
    where = run.attempt("Asking git where this checkout stands", lambda: wip.head(root))
    if where is None:  # git does not work here, but DVC may
        return None
    run.add("Reading git's index", lambda: index.unreadable(root))
    hashed = run.attempt("git", lambda: within(quarter, "git", lambda: wip.content(root)))
    run.content = hashed or ""
    run.folder = run.attempt("The snapshot", lambda: _take_snapshot(run))
    if saved := run.attempt("The commit", lambda: _commit(run, message)):
        run.items += saved.items
        push = run.share(0.5)
        run.pushed = run.attempt("Pushing code", lambda: refs.push(root, saved, push))
        run.items += run.pushed.items if run.pushed else []
    look = run.share(0.25)
    run.add("Looking for what only this machine has", lambda: refs.only_here(root, look))
    return run.pushed or saved


def _take_snapshot(run: Run) -> Path | None:
    """The folder of a new snapshot, or of the last one where nothing has changed since."""
    last = run.attempt("Reading the last receipt", lambda: receipts.newest(run.root))
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
    part = run.share(0.25)
    try:
        ends = run.share(0.2)
        save = lambda: wip.save(run.root, message, deadline=ends)  # noqa: E731
        return within(part, "git commit", save)
    except steps.ENDINGS:
        raise
    except BaseException as error:
        run.items.append(replace(steps.item(error, "git commit"), verdict="warning"))
        return wip.save(run.root, aside=True)


def _save_data(run: Run) -> None:
    """Finished data and unfinished work, what is small and rare first."""
    root, where = run.root, remote.default(run.root)
    if where is None:
        raise UserError("DVC has no default remote: NO DATA IS SAVED.", remote.SET)
    expected = expectations.read(root)
    run.bucket = bucket = open_bucket(root)
    look = run.share(0.5)
    before = run.attempt(
        "Asking what is there", lambda: finished.look(root, expected, bucket, look)
    )
    wanted = finished.lost(before) if before else []
    told = run.attempt("Reading pyproject.toml", lambda: project.contract(root)) or Contract()
    rare = [found for found in wanted if told.rank(found.path) < told.bulk]
    bulk = [found for found in wanted if told.rank(found.path) >= told.bulk]
    sent = list[Sent]()

    def send(those: list[Finding]) -> None:
        sent.append(sending.send(those, expected, root, bucket, run.reserved))

    run.attempt("Sending what is small and rare", lambda: send(rare))
    run.kept = run.attempt("Saving unfinished work", lambda: _save_parts(run, expected, bucket))
    run.attempt("Sending data", lambda: send(bulk))
    if before:
        run.proof = run.attempt(
            "The proof", lambda: finished.prove(root, before, sent, bucket, run.deadline)
        )
    proof = run.proof
    run.add("The proof", lambda: _finished_items(proof) if proof else finished.unknown(expected))
    run.add("Unfinished work", lambda: unfinished.late_items(root, expected, run.kept))
    run.add("Unfinished work", lambda: _unfinished_items(run, expected, bucket))
    run.add("The remote", lambda: remote.survival(root, where))


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
