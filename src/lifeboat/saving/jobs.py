"""Things to send, in order, by several threads, until there is no time for the next.

What is small and rare goes first, what others wait for before them, and a remote that takes nothing
is not asked for every single thing.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifeboat.deadlines import Deadline
from lifeboat.remotes.store_errors import StoreError
from lifeboat.stage import failures

N_THREADS = 8
"""Things on their way at the same time."""

HOPELESS = (
    "credentials", "expired", "denied", "no bucket", "clock", "region", "checksum", "support",
)  # fmt: skip
"""Kinds of errors that waiting does not cure."""

_IN_A_ROW = 8
_TELLING = 2**20
_NO_TIME = "there was no time left for it"


@dataclass(frozen=True)
class Job:
    """One thing to send.

    Attributes:
        name: key by which others wait for it.
        path: what it is, in words that the user knows.
        stage: whose it is.
        rank: what goes before what.
        bytes: its size.
        send: sends it and returns when the remote has it; an error says why it could not.
        after: names of what has to be there before it.
    """

    name: str
    path: str
    stage: str
    rank: int
    bytes: int
    send: Callable[[], None]
    after: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sent:
    """How a sending ended.

    Attributes:
        done: what arrived.
        left: what did not, and why.
    """

    done: tuple[Job, ...]
    left: tuple[tuple[Job, str], ...]


def run(jobs: Sequence[Job], deadline: Deadline, n_threads: int = N_THREADS) -> Sent:
    """Does jobs in order of rank and size, until all are done or there is no time for the next.

    The threads do not keep the process alive: what hangs at the deadline is left behind and named.
    """
    line = _Line(jobs, deadline)
    threads = [
        threading.Thread(target=line.work, name="sending", daemon=True)
        for _ in range(min(n_threads, len(jobs)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive() and not deadline.passed:
            thread.join(min(deadline.left, 0.5))
    reasons = [(job, line.reason(job)) for job in jobs]
    done = tuple(job for job, reason in reasons if not reason)
    return Sent(done, tuple((job, reason) for job, reason in reasons if reason))


class _Line:
    """Jobs in one line; what waits for others stands behind the last of them."""

    def __init__(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        self._to_do, self._deadline = _ordered(jobs), deadline
        self._changed = threading.Condition()
        self._begun: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._rate = 0.0
        self._n_failed_in_a_row = 0
        self._stop = ""

    def work(self) -> None:
        """Does jobs until there is none, or no time, to begin another."""
        while not self._deadline.passed:
            with self._changed:
                if not self._to_do:
                    return
                job = self._to_do.pop()
                self._begun.add(job.name)
            self._end(job, self._do(job))

    def reason(self, job: Job) -> str:
        """Why a job is not done by now, empty where it is."""
        is_begun = job.name in self._begun
        late = "it was on its way when the time was up" if is_begun else _NO_TIME
        return self._reasons.get(job.name, late)

    def _end(self, job: Job, reason: str) -> None:
        with self._changed:
            self._reasons[job.name] = reason
            self._changed.notify_all()

    def _do(self, job: Job) -> str:
        """Does a job; why it could not be done, empty where it was."""
        needed, left = job.bytes / self._rate if self._rate else 0.0, self._deadline.left
        if self._stop or needed > left:
            return self._stop or f"it takes about {needed:.0f} s, and {left:.0f} s were left"
        with self._changed:  # all that it waits for was begun before
            self._changed.wait_for(lambda: job.after <= self._reasons.keys())
        if lacking := sum(bool(self._reasons[name]) for name in job.after):
            return self._stop or f"{lacking} of its files are not there"
        start = time.monotonic()
        try:
            job.send()
        except StoreError as error:
            return self._stumble(error)
        except BaseException as error:  # a thread that ended would keep the others waiting
            return failures.sentence(error)
        self._n_failed_in_a_row = 0
        if job.bytes >= _TELLING:
            self._rate = job.bytes / max(time.monotonic() - start, 1e-3)
        return ""

    def _stumble(self, error: StoreError) -> str:
        """Stops it all where the remote will not take anything else either; the reason to tell."""
        with self._changed:
            self._n_failed_in_a_row += 1
            if error.kind in HOPELESS or self._n_failed_in_a_row >= _IN_A_ROW:
                self._stop = self._stop or f"nothing more was tried after this: {error}"
            return self._stop or str(error)


def _ordered(jobs: Sequence[Job]) -> list[Job]:
    """Jobs from the last to the first: by rank and size, each behind what it waits for."""
    in_order = sorted(jobs, key=lambda job: (job.rank, job.bytes))
    place = {job.name: number for number, job in enumerate(in_order) if not job.after}

    def key(job: Job) -> tuple[int, bool]:
        behind = max((place[name] for name in job.after), default=-1)
        return (behind if job.after else place[job.name]), bool(job.after)

    return sorted(in_order, key=key, reverse=True)
