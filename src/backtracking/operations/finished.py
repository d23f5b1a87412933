"""Finished data on its way: what a remote lacks is sent, and what it has then is proven."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from backtracking.operations import expected as expectations
from backtracking.operations import inspection, sending
from backtracking.operations.bucket import Bucket
from backtracking.operations.deadlines import Deadline, within
from backtracking.operations.expected import Expected
from backtracking.operations.inspection import Finding, Verified
from backtracking.operations.items import Item
from backtracking.operations.sending import Sent

SHOWN = 20
"""Files of an out that are named one by one; a receipt names all."""


@dataclass(frozen=True)
class Proof:
    """What of the finished data a remote is known to have.

    Attributes:
        verified: the last look at all of it.
        n_sent: objects that were sent.
        lost: what is not there as it should be, with the reason why it could not be sent, if any.
    """

    verified: Verified
    n_sent: int
    lost: tuple[Finding, ...]

    @property
    def comparison(self) -> str:
        """By what objects were compared, in words."""
        named = ", ".join(f"{n} by {how}" for how, n in sorted(self.verified.by_evidence.items()))
        return named or "nothing was there to compare"


def read(root: Path) -> Expected:
    """What HEAD and the workspace expect a remote to hold."""
    return expectations.read(root)


def look(root: Path, expected: Expected, bucket: Bucket, deadline: Deadline) -> Verified:
    """What the remote has of it.

    Raises:
        UserError: where it cannot be asked, or did not answer in time.
    """
    what = f"Asking {bucket.url} what it has"
    return within(deadline, what, lambda: inspection.inspect(root, expected, bucket, []))


def send(
    root: Path, found: Sequence[Finding], expected: Expected, bucket: Bucket, deadline: Deadline
) -> Sent:
    """Sends objects that were found missing or wrong."""
    return sending.send(found, expected, root, bucket, deadline)


def lost(verified: Verified) -> list[Finding]:
    """What is missing or wrong."""
    return [*verified.missing, *verified.wrong]


def prove(
    root: Path, before: Verified, sent: Iterable[Sent], bucket: Bucket, deadline: Deadline
) -> Proof:
    """What the remote has after a sending.

    All of it is looked at anew, unless nothing was sent or time is short: then what was there
    before counts, and every object that the remote showed when it had been sent.
    """
    done = {job.name for one in sent for job in one.done}
    reasons = {job.name: reason for one in sent for job, reason in one.left}
    after = before
    if done and deadline.is_never:
        after = look(root, before.expected, bucket, deadline)
    left = [
        _because(found, reasons.get(found.oid, ""))
        for found in lost(after)
        if after is not before or found.oid not in done
    ]
    return Proof(after, len(done), tuple(left))


def items(proof: Proof) -> list[Item]:
    """The proof in sentences."""
    verified = proof.verified
    found = [Item(problem, "wrong") for problem in verified.expected.problems]
    if kept_back := verified.expected.kept_back:
        fact = f"Never sent, as the pipeline says (`push: false`): {', '.join(kept_back)}."
        found.append(Item(fact, "warning"))
    if not verified.n_expected:
        return [*found, _nothing(verified)]
    n_there = verified.n_expected - len(proof.lost)
    share = f"{n_there} of" if proof.lost else "All"
    fact = f"{share} {verified.n_expected} objects of finished stages are in {verified.url}"
    sent = f", {proof.n_sent} of them sent now" if proof.n_sent else ""
    found.append(Item(f"{fact}{sent} ({proof.comparison})."))
    by_stage = sorted(proof.lost, key=lambda finding: (finding.stage, finding.path))
    for stage, group in groupby(by_stage, key=lambda finding: finding.stage):
        found.append(_not_saved(stage, list(group), verified.url))
    return found


def _nothing(verified: Verified) -> Item:
    if verified.expected.unfinished:
        return Item("No stage has finished: there is no finished data to save.", "warning")
    return Item("dvc.lock names no data at all.", "wrong", "Run `make reproduce`, then again.")


def _not_saved(stage: str, found: list[Finding], url: str) -> Item:
    """One item a stage, which names its files; very many are counted."""
    lines = [f"\n  {finding.path} ({finding.oid}): {finding.reason}" for finding in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"\n  and {len(found) - SHOWN} more, which the receipt names.")
    fact = f"NOT SAVED in {url}: {len(found)} objects of stage `{stage}`:{''.join(lines)}"
    return Item(fact, "wrong", "Run it again: what arrived stays.")


def _because(found: Finding, reason: str) -> Finding:
    return replace(found, reason=f"{found.reason}; {reason}") if reason else found
