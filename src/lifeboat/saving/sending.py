"""Objects sent one by one to a remote, beside whatever else runs: no lock of DVC is ever taken.

What is small and cannot be made again goes first. Nothing is sent whose bytes do not hash to its
name, a folder's list goes after its files, and what did not make it is named with the reason.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lifeboat import project
from lifeboat.deadlines import Deadline
from lifeboat.proof import manifests
from lifeboat.proof.comparison import Judge, Meant
from lifeboat.proof.expected import Expected
from lifeboat.proof.inspection import Finding
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.saving import jobs
from lifeboat.saving.freezing import Hashed, frozen, hash_file
from lifeboat.saving.jobs import Job, Sent
from lifeboat.stage import temporary
from lifeboat.stage.errors import UserError

_PAUSES = (1.0, 4.0)

NOWHERE = "neither DVC's cache nor the workspace has it"
"""Why an object was not sent that this machine has not made, or has no longer."""


def send(
    objects: Iterable[Finding], expected: Expected, root: Path, bucket: Bucket, deadline: Deadline
) -> Sent:
    """Sends objects that were found missing or wrong, each once, from DVC's cache or the workspace.

    A folder's list waits for those of its files that are sent as well.
    """
    temporary.sweep((root / ".dvc" / "tmp").glob("sending.*"))
    rank = project.rank(root)
    by_oid: dict[str, Finding] = {}
    for found in objects:
        by_oid.setdefault(found.oid, found)
    files = {oid for oid in by_oid if not oid.endswith(".dir")}
    judge = Judge(bucket)

    def job(found: Finding) -> Job:
        cached, file = expected.cached(found.oid), root / found.path

        def act() -> None:
            with _intact(found, cached, file, root / ".dvc" / "tmp") as hashed:
                require_arrived(hashed, bucket, judge, manifests.key(found.oid))

        n_bytes = next((path.stat().st_size for path in (cached, file) if path.is_file()), 0)
        after = frozenset() if found.oid in files else frozenset(_members(found, cached) & files)
        return Job(found.oid, found.path, found.stage, rank(found.path), n_bytes, act, after)

    return jobs.run([job(found) for found in by_oid.values()], deadline)


def require_arrived(hashed: Hashed, bucket: Bucket, judge: Judge, key: str) -> None:
    """Sends a file and judges what the store then has.

    Raises:
        UserError: where it failed, also after waiting a little, or what arrived is not readable or
            something else.
    """
    for pause in (*_PAUSES, None):
        try:
            stored = bucket.put(hashed.path, key)
            break
        except StoreError as error:
            if pause is None or error.kind in jobs.HOPELESS:
                raise
            time.sleep(pause)
    else:
        raise AssertionError("the last attempt returns or raises")
    verdict = judge.judge(Meant(key, hashed.md5, hashed.bytes, hashed.path), stored)
    if verdict.wrong:
        fact = f"{bucket.url} has something else than what was sent: {verdict.wrong}."
        raise UserError(fact, verdict.cure)


@contextmanager
def _intact(found: Finding, cached: Path, file: Path, folder: Path) -> Iterator[Hashed]:
    """What has the bytes that an object's key promises: DVC's cache, or the workspace."""
    hashed, oid = None, found.oid.removesuffix(".dir")
    with contextlib.suppress(OSError):
        hashed = hash_file(cached)
    if hashed and hashed.md5 == oid:
        yield hashed
        return
    with contextlib.ExitStack() as stack:
        here = None
        with contextlib.suppress(OSError):
            here = stack.enter_context(frozen(file, folder)) if file.is_file() else None
        if here and here.md5 == oid:
            yield here
            return
    if not hashed:
        raise UserError(f"{NOWHERE}.")
    raise UserError(
        f"{cached} does not hash to its name: it was changed after it was made.",
        f"Remove it, and run `dvc --wait-for-lock repro {found.stage}`.",
    )


def _members(found: Finding, cached: Path) -> set[str]:
    """The files of a folder's list, none where it is not here or damaged."""
    with contextlib.suppress(OSError, UserError):
        return {entry.oid for entry in manifests.entries(found.oid, cached.read_bytes())}
    return set()
