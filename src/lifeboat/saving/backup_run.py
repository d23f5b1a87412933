"""One backup on its way: its time, what its sides have come to, and the receipt of that."""

from dataclasses import dataclass
from pathlib import Path

from lifeboat import project
from lifeboat.deadlines import Deadline, within
from lifeboat.git import refs, wip
from lifeboat.git.refs import Pushed
from lifeboat.items import Item, proven
from lifeboat.proof import receipts
from lifeboat.proof.receipts import Receipt
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving import finished
from lifeboat.saving.finished import Proof
from lifeboat.saving.unfinished import Kept
from lifeboat.steps import Steps

_RESERVE_S = 5.0
"""Kept for the proof and the receipt."""


@dataclass
class Run(Steps):
    """One backup on its way.

    Attributes:
        root: the project.
        deadline: when it has to end.
        content: hash of what git holds of the working tree; empty where it is not known.
        folder: the snapshot.
        pushed: what the git remote has, None where nothing could be pushed.
        bucket: the DVC remote, None where there is none.
        proof: what it has of finished data, None where it did not tell.
        kept: what it has of unfinished work, None where that is not known.
    """

    root: Path = Path()
    deadline: Deadline = Deadline()
    content: str = ""
    folder: Path | None = None
    pushed: Pushed | None = None
    bucket: Bucket | None = None
    proof: Proof | None = None
    kept: Kept | None = None

    @property
    def reserved(self) -> Deadline:
        """The deadline for everything that is not the end."""
        return self.deadline.sooner(min(_RESERVE_S, self.deadline.left / 4))

    def share(self, part: float) -> Deadline:
        """A part of the time that is left."""
        return self.reserved.at_most(self.reserved.left * part)


def leave_receipt(run: Run) -> None:
    """A receipt for what is proven, sent and committed, unless the last one says the same."""
    receipt = run.attempt("The receipt", lambda: _receipt(run))
    if not receipt or not (receipt.branch or receipt.n_objects or receipt.n_parts):
        return
    last = run.attempt("Reading the last receipt", lambda: receipts.newest(run.root))
    if last and last[1].state == receipt.state:
        says = "holds, and was proven again" if receipt.proven else "still tells what is NOT proven"
        fact = f"The receipt runs/{last[0].parent.name}/{receipts.NAME} {says}"
        run.items.append(Item(f"{fact}, at {receipt.created}."))
        return
    run.attempt("The receipt", lambda: _file(run, receipt))


def _receipt(run: Run) -> Receipt:
    parts = run.kept.parts if run.kept else ()
    pushed = run.pushed if run.pushed and run.pushed.proven else None
    verified = run.proof.verified if run.proof else None
    outs = verified.expected.outs if verified else ()
    lost = finished.lost(verified) if verified else []
    return Receipt(
        created=receipts.now(),
        machine=project.machine_name(run.root),
        proven=proven(run.items),
        content_sha256=run.content,
        commit=pushed.commit if pushed else "",
        branch=pushed.branch if pushed else "",
        git=pushed.url if pushed else "",
        remote=run.bucket.url if run.bucket else "",
        comparison=run.proof.comparison if run.proof else "",
        n_objects=verified.n_expected if verified else 0,
        missing=tuple(f"{f.path} of {f.stage} ({f.oid}, a hash): {f.reason}" for f in lost),
        outs_sha256=receipts.hash_of((out.path, out.oid) for out in outs),
        n_parts=len(parts),
        parts_bytes=sum(part.bytes for part in parts),
        parts_sha256=receipts.hash_of((part.path, part.sha256) for part in parts),
        unfinished=tuple(verified.expected.unfinished) if verified else (),
    )


def _file(run: Run, receipt: Receipt) -> None:
    """Puts a receipt into the snapshot, into the remote and, with a commit more, into git."""
    said = []
    if bucket := run.bucket:
        key = within(run.deadline, "The receipt", lambda: receipts.send(bucket, receipt))
        said.append(f"{bucket.url.rstrip('/')}/{key}")
    if run.folder:
        receipts.write(run.folder / receipts.NAME, receipt)
        said.append(f"runs/{run.folder.name}/{receipts.NAME}")
    run.items.append(Item(f"Receipt: {', '.join(said)}."))
    if before := run.pushed:
        aside = before.branch != wip.head(run.root).branch  # whatever kept the work there
        ends = run.deadline.sooner(min(1.0, run.deadline.left / 2))
        saved = wip.save(run.root, aside=aside, deadline=ends)
        again = refs.push(run.root, saved, run.deadline) if before.url else before
        if before.proven and not again.proven:
            fact = "The receipt itself is not in git yet; the next backup takes it along."
            run.items.append(Item(fact, "warning"))
