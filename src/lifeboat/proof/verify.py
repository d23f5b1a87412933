"""`lifeboat verify`: whether a remote holds what HEAD and the workspace need; our own look.

DVC's word is not asked for: it says "in sync" of a folder whose list stands and whose files are
gone, of data that is in neither place, and of the last run when this one was killed.
"""

from collections.abc import Iterator
from pathlib import Path

from lifeboat.items import Item, megabytes
from lifeboat.proof import expected, inspection
from lifeboat.proof.comparison import Evidence
from lifeboat.proof.expected import WORKSPACE
from lifeboat.proof.inspection import Finding, Verified
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import unsaved
from lifeboat.steps import Steps

_COMPARED: dict[Evidence, str] = {
    "read": "read and hashed",
    "hash": "by the store's hash of their content",
    "size": "by size",
    "presence": "by presence alone",
}
_DEEP = "`lifeboat verify --deep` reads and hashes them."


def verify(
    root: Path,
    targets: list[str] | None = None,
    remote_name: str | None = None,
    *,
    deep: bool = False,
) -> list[Item]:
    """What the remote holds and lacks, and what of the workspace nobody could hold yet.

    Args:
        root: the project.
        targets: stages, outs or paths inside outs; all of the study where there are none.
        remote_name: a DVC remote; the default one else.
        deep: whether every object is read and hashed.

    Raises:
        UserError: where the project or the remote cannot be read, or a target is none.
    """
    bucket = open_bucket(root, remote_name)
    steps = Steps(told(check(root, targets, bucket, deep=deep)))
    what = "Comparing the workspace with dvc.lock"
    steps.add(what, lambda: unsaved.items(root, targets or []))
    return [*steps.items, *_place(root, bucket)]


def check(root: Path, targets: list[str] | None, bucket: Bucket, *, deep: bool = False) -> Verified:
    """As `verify`, of the objects alone and as data.

    Raises:
        UserError: as `verify`.
    """
    return inspection.inspect(root, expected.read(root), bucket, targets or [], deep=deep)


def told(verified: Verified) -> list[Item]:
    """What was found, in sentences: first what is there, then every object that is not."""
    problems = [Item(problem, "wrong", "Mend it.") for problem in verified.expected.problems]
    kept_back = verified.expected.kept_back
    if kept_back:
        fact = f"Never pushed, as the pipeline says (`push: false`): {', '.join(kept_back)}."
        problems.append(Item(fact, "warning"))
    if not verified.n_expected:
        fact = "dvc.lock and .dvc files name no data at all, so there is nothing to prove."
        return [*problems, Item(fact, "wrong", "Run `lifeboat reproduce`.")]
    if verified.borrowed:
        n, until = len(verified.borrowed), min(verified.borrowed)
        fact = f"{n} objects are copies of archived ones: readable until {until} and no longer."
        problems.append(Item(fact, "warning", "Run `lifeboat restore` before that."))
    found = [("MISSING", each) for each in verified.missing]
    found += [("WRONG", each) for each in verified.wrong]
    lost = [Item(_sentence(word, each, verified.url), "wrong", _cure(each)) for word, each in found]
    return [*problems, _summary(verified), *_weak(verified), *lost]


def _summary(verified: Verified) -> Item:
    n, total, by = verified.n_present, verified.n_expected, verified.by_evidence
    share = f"All {total}" if n == total else f"{n} of {total}"
    how = ", ".join(f"{by[each]} {words}" for each, words in _COMPARED.items() if by.get(each))
    size = megabytes(verified.n_bytes) + (f" (compared: {how})" if how else "")
    verdict = "ok" if n == total else "warning"
    return Item(f"{share} objects that dvc.lock names are in {verified.url}, {size}.", verdict)


def _weak(verified: Verified) -> Iterator[Item]:
    """What was compared by less than content."""
    if not verified.hashes_are_content:
        fact = f"The hashes that {verified.url} gives are not of the content (encryption with a "
        yield Item(f"{fact}key service makes them so); they were not used.")
    if n := verified.by_evidence.get("size", 0):
        yield Item(f"{n} objects were not hashed: the store gives no hash.", "ok", _DEEP)
    if n := verified.by_evidence.get("presence", 0):
        fact = f"Of {n} objects ONLY PRESENCE WAS COMPARED: neither their size nor a hash is known"
        yield Item(f"{fact} here.", "warning", _DEEP)


def _sentence(word: str, finding: Finding, url: str) -> str:
    more = f" (and {finding.n_more} more paths of the same content)" if finding.n_more else ""
    what = "the list of files of " if finding.oid.endswith(".dir") else ""
    places = " and ".join(finding.places)
    reason = f": {finding.reason}" if finding.reason else ""
    return (
        f"{word} in {url}: {what}`{finding.path}`{more} of stage `{finding.stage}`, object "
        f"{finding.oid}, expected by {places}{reason}."
    )


def _cure(finding: Finding) -> str:
    if finding.bytes is not None:
        return f"The local cache has it: `lifeboat backup` sends it. {finding.cure}".strip()
    if finding.cure:
        return finding.cure
    if WORKSPACE not in finding.places:
        return (
            "It is not on this machine either, and dvc.lock here names another version: "
            "`lifeboat push` commits that one. Or bring this one from where it is."
        )
    cure = "run `lifeboat reproduce`, or bring it from where it is."
    return f"It is not on this machine either: {cure}"


def _place(root: Path, bucket: Bucket) -> list[Item]:
    if not remote.on_this_disk(remote.Remote("", bucket.url), root):
        return []
    fact = f"{bucket.url} IS ON THIS MACHINE, and goes when the machine goes."
    return [Item(fact, "warning", remote.SET)]
