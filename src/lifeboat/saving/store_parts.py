"""What of the store is unfinished work, and how it gets away.

The pieces of an out lie in `.cache/store/<out>/`, each whole once it has its name. A name that says
the hash of its bytes (`<key>.<sha256>...`) need not be read again to know what is there.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifeboat.deadlines import Deadline
from lifeboat.proof.comparison import Judge
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving import freezing, jobs, sending
from lifeboat.saving.jobs import Job, Sent
from lifeboat.saving.partial import Part
from lifeboat.stage import claims, temporary
from lifeboat.stage.errors import UserError

_NAMED = re.compile(r".+\.([0-9a-f]{64})(\.\w+)+")


@dataclass(frozen=True)
class Unsent:
    """A file of the store that is to be saved.

    Attributes:
        path: relative to the store.
        stage: whose it is.
        rank: what goes before what.
    """

    path: str
    stage: str
    rank: int = 0

    @property
    def sha256(self) -> str | None:
        """Of its content, as its name says; None where it does not."""
        named = _NAMED.fullmatch(self.path)
        return named[1] if named else None


def waiting(
    store: Path, held: set[str], stage_by_out: Mapping[str, str], rank: Callable[[str], int]
) -> list[Unsent]:
    """Files of the store that are part of unfinished work, in the order in which they go.

    Args:
        store: the folder of units.
        held: names of the files that a finished, saved out holds.
        stage_by_out: the stages that have not finished, by their outs.
        rank: of an out.
    """
    found = [
        Unsent(f"{out}/{path.name}", stage, rank(out))
        for out, stage in stage_by_out.items()
        for path in (store / out).glob("[!.]*")
        if path.is_file() and path.name not in held
    ]
    return sorted(found, key=lambda part: (part.rank, part.path))


def send(
    store: Path,
    wanted: Iterable[Unsent],
    bucket: Bucket,
    deadline: Deadline,
    before: Iterable[Part] = (),
    arrived: Callable[[list[Part]], None] = lambda parts: None,
) -> tuple[list[Part], Sent]:
    """Sends files of the store by content; those that the remote has are only compared.

    A file that is replaced meanwhile is sent as it was when its turn came.

    Args:
        store: the folder of units.
        wanted: what to send.
        bucket: where to.
        deadline: when it has to end.
        before: parts of an earlier index, which know hashes that need not be computed again.
        arrived: told all parts that are there by now, whenever one has come; one call at a time.

    Returns:
        The parts that are there now, and how the sending ended.
    """
    folder = store / ".sending"
    temporary.sweep(folder.glob("sending.*"))
    parts: list[Part] = []
    telling = threading.Lock()
    judge, md5_by_sha256 = Judge(bucket), {part.sha256: part.md5 for part in before}

    def job(unsent: Unsent) -> Job:
        def act() -> None:
            part = _send_one(store, unsent, bucket, judge, folder, md5_by_sha256)
            with telling:
                parts.append(part)
                arrived(parts)

        path = store / unsent.path
        size = path.stat().st_size if path.is_file() else 0
        return Job(unsent.path, unsent.path, unsent.stage, unsent.rank, size, act)

    sent = jobs.run([job(unsent) for unsent in wanted], deadline)
    return sorted(parts, key=lambda part: part.path), sent


@contextmanager
def alone(store: Path, deadline: Deadline) -> Iterator[None]:
    """One process at a time: the next index is written by one who has seen the last.

    Where that would take too long, or the file system has no locks, it goes on all the same.
    """
    patience = deadline.at_most(600 if deadline.is_never else deadline.left / 3)
    while not claims.take(store, "sending") and not patience.passed:
        time.sleep(0.1)
    try:
        yield
    finally:
        claims.give_back(store, "sending")


def _send_one(
    store: Path,
    unsent: Unsent,
    bucket: Bucket,
    judge: Judge,
    folder: Path,
    md5_by_sha256: Mapping[str, str],
) -> Part:
    if unsent.sha256:
        size, md5 = (store / unsent.path).stat().st_size, md5_by_sha256.get(unsent.sha256, "")
        known = Part(unsent.path, size, unsent.sha256, unsent.stage, md5)
        if not judge.ask(known.meant).wrong:
            return known
    with freezing.frozen(store / unsent.path, folder) as hashed:
        if unsent.sha256 and hashed.sha256 != unsent.sha256:
            raise UserError("it is not what its name says, and will be computed again.")
        part = Part(unsent.path, hashed.bytes, hashed.sha256, unsent.stage, hashed.md5)
        if judge.ask(part.meant).wrong:
            sending.require_arrived(hashed, bucket, judge, part.key)
        return part
