"""Finished data on its way: what a remote lacks is sent, and what it has then is proven."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lifeboat.deadlines import Deadline, within
from lifeboat.items import Item
from lifeboat.proof import inspection, verify
from lifeboat.proof.expected import HEAD, Expected
from lifeboat.proof.inspection import Finding, Verified
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving import sending
from lifeboat.saving.jobs import Sent

FEW = 3
"""Things that are told one by one although they have the same reason."""

_NOT_SENT = "not sent: "
_RECORDED = "were never made or fetched here, or are here no longer"


@dataclass(frozen=True)
class Proof:
    """What of the finished data a remote is known to have.

    Attributes:
        verified: what was found there in the end; what could not be sent says why.
        n_sent: objects that were sent.
    """

    verified: Verified
    n_sent: int = 0

    @property
    def comparison(self) -> str:
        """By what objects were compared, in words."""
        named = sorted(self.verified.by_evidence.items())
        return ", ".join(f"{n} by {how}" for how, n in named) or "nothing was there to compare"


def look(root: Path, expected: Expected, bucket: Bucket, deadline: Deadline) -> Verified:
    """What the remote has of it.

    Raises:
        UserError: where it cannot be asked, or did not answer in time.
    """
    what, hurried = f"Asking {bucket.url} what it has", not deadline.is_never

    def ask() -> Verified:
        return inspection.inspect(root, expected, bucket, [], hurried=hurried)

    return within(deadline, what, ask)


def lost(verified: Verified) -> list[Finding]:
    """What is missing or wrong."""
    return [*verified.missing, *verified.wrong]


def prove(
    root: Path, before: Verified, sent: Iterable[Sent], bucket: Bucket, deadline: Deadline
) -> Proof:
    """What the remote has after a sending.

    All of it is looked at anew, unless nothing was sent or time is short: then what was there
    before counts, and every object that the remote showed when it had been sent.

    Raises:
        UserError: as `look`.
    """
    done = {job.name: job.bytes for one in sent for job in one.done}
    reasons = {job.name: reason for one in sent for job, reason in one.left}
    after = before
    if done and deadline.is_never:
        after = look(root, before.expected, bucket, deadline)
    elif done:
        after = _with(before, done)
    return Proof(
        replace(
            after,
            missing=tuple(_because(found, reasons) for found in after.missing),
            wrong=tuple(_because(found, reasons) for found in after.wrong),
        ),
        len(done),
    )


def items(proof: Proof) -> list[Item]:
    """The proof in sentences."""
    found = proof.verified
    folded, rest = _folded(lost(found))
    told = verify.told(
        replace(
            found,
            missing=tuple(one for one in found.missing if one in rest),
            wrong=tuple(one for one in found.wrong if one in rest),
        )
    )
    told += [_together(why, those, found.url) for why, those in folded.items()]
    if proof.n_sent:
        told.append(Item(f"Sent now, object by object: {proof.n_sent}."))
    return told


def unknown(expected: Expected) -> list[Item]:
    """What is said of finished data where the remote did not tell what it has, out by out."""
    items = [Item(problem, "wrong") for problem in expected.problems]
    cure = "Run it again: what arrived stays."
    for out in expected.outs:
        fact = f"NOT PROVEN: whether `{out.path}` of stage `{out.stage}` is saved is not known."
        items.append(Item(fact, "wrong", cure))
    return items


def _folded(findings: list[Finding]) -> tuple[dict[str, list[Finding]], list[Finding]]:
    """Findings that share a reason why they were not sent, by that; and all the others."""
    by_reason: dict[str, list[Finding]] = {}
    for one in findings:
        by_reason.setdefault(_why_not_sent(one), []).append(one)
    many = {why: those for why, those in by_reason.items() if why and len(those) > FEW}
    return many, [one for one in findings if _why_not_sent(one) not in many]


def _why_not_sent(found: Finding) -> str:
    """Why it was not sent, empty where that was not tried."""
    why = found.reason.partition(_NOT_SENT)[2]
    return _RECORDED if why == sending.NOWHERE and HEAD in found.places else why


def _together(why: str, those: list[Finding], url: str) -> Item:
    """Findings of one reason in one sentence."""
    outs = ", ".join(f"`{stage}`" for stage in dict.fromkeys(one.stage for one in those))
    objects = f"{len(those)} objects of {outs}"
    if why != _RECORDED:
        fact = f"NOT SAVED: {objects} are not in {url}. None was sent: {why}."
        return Item(fact, "wrong", "`lifeboat verify` names each.")
    fact = f"MISSING in {url}: {objects}, which HEAD's dvc.lock records and that {_RECORDED}. "
    fact += "There is nothing here to send; a clone of HEAD does not find them."
    cure = "Commit what your own run makes (`lifeboat reproduce`, `lifeboat push`), or bring them"
    return Item(fact, "wrong", f"{cure} from where they are. `lifeboat verify` names each.")


def _with(before: Verified, done: dict[str, int]) -> Verified:
    """What a look found, and what arrived after it and was compared by size at least."""
    evidence = {**before.by_evidence, "size": before.by_evidence.get("size", 0) + len(done)}
    return replace(
        before,
        n_bytes=before.n_bytes + sum(done.values()),
        by_evidence=evidence,
        missing=tuple(found for found in before.missing if found.oid not in done),
        wrong=tuple(found for found in before.wrong if found.oid not in done),
    )


def _because(found: Finding, reasons: dict[str, str]) -> Finding:
    reason = reasons.get(found.oid, "").rstrip(".")
    if not reason:
        return found
    return replace(found, reason="; ".join(filter(None, [found.reason, f"{_NOT_SENT}{reason}"])))
