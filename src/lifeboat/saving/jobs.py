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
from lifeboat.stage.errors import UserError

N_THREADS = 8
"""Things on their way at the same time."""

HOPELESS = ("credentials", "expired", "denied", "no bucket", "clock", "region", "support")
"""Kinds of errors that waiting does not cure."""

_IN_A_ROW = 8
_TELLING = 2**20


@dataclass(frozen=True)
class Job:
    """One thing to send.

    Attributes:
        name: key by which others wait for it.
        path: what it is, in words that the user knows.
        stage: whose it is.
        rank: what goes before what.
        bytes: its size.
        send: sends it and returns when the remote has it; a UserError says why it could not.
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
    for _ in range(min(n_threads, len(jobs))):
        threading.Thread(target=line.work, name="sending", daemon=True).start()
    return line.wait()


class _Line:
    """Jobs in one line; what waits for others stands behind the last of them."""

    def __init__(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        self._jobs, self._deadline = jobs, deadline
        self._to_do = _ordered(jobs)
        self._changed = threading.Condition()
        self._begun: set[str] = set()
        self._done: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._rate = 0.0
        self._n_failed_in_a_row = 0
        self._stop = ""

    def work(self) -> None:
        """Does jobs until there is none to begin."""
        while (job := self._take()) is not None:
            start = time.monotonic()
            try:
                self._require_before(job)
                job.send()
            except StoreError as error:
                self._stumble(error)
                self._end(job, str(error))
            except (UserError, OSError) as error:
                self._end(job, str(error))
            except BaseException as error:
                self._end(job, f"{type(error).__name__}: {error}")
                raise
            else:
                self._note_rate(job, time.monotonic() - start)
                self._end(job)

    def wait(self) -> Sent:
        """Waits for all jobs or for the deadline."""
        with self._changed:
            while not self._is_over() and not self._deadline.passed:
                self._changed.wait(min(self._deadline.left, 0.5))
            self._stop = self._stop or "there was no time left for it"
            left = [(job, self._reason(job)) for job in self._jobs if job.name not in self._done]
            return Sent(tuple(job for job in self._jobs if job.name in self._done), tuple(left))

    def _take(self) -> Job | None:
        with self._changed:
            while self._to_do and not self._stop:
                job = self._to_do.pop()
                needed, left = job.bytes / self._rate if self._rate else 0.0, self._deadline.left
                self._begun.add(job.name)
                if needed <= left and left > 0:
                    return job
                self._reasons[job.name] = (
                    f"it takes about {needed:.0f} s, and {left:.0f} s were left"
                )
                self._changed.notify_all()
        return None

    def _require_before(self, job: Job) -> None:
        """Waits for what has to be there before a job; all of it was begun before."""
        with self._changed:
            self._changed.wait_for(lambda: job.after <= self._done | self._reasons.keys())
            if lacking := job.after - self._done:
                raise UserError(f"{len(lacking)} of its files are not there")

    def _note_rate(self, job: Job, seconds: float) -> None:
        self._n_failed_in_a_row = 0
        if job.bytes >= _TELLING:
            self._rate = job.bytes / max(seconds, 1e-3)

    def _end(self, job: Job, reason: str = "") -> None:
        with self._changed:
            if reason:
                self._reasons[job.name] = reason
            else:
                self._done.add(job.name)
            self._changed.notify_all()

    def _stumble(self, error: StoreError) -> None:
        """Stops it all where the remote will not take anything else either."""
        with self._changed:
            self._n_failed_in_a_row += 1
            if error.kind in HOPELESS or self._n_failed_in_a_row >= _IN_A_ROW:
                self._stop = self._stop or f"not tried, after another failed: {error}"

    def _is_over(self) -> bool:
        is_idle = self._begun == self._done | self._reasons.keys()
        return is_idle and (not self._to_do or bool(self._stop))

    def _reason(self, job: Job) -> str:
        if job.name in self._begun:
            return self._reasons.get(job.name, "it was on its way when the time was up")
        if lacking := job.after - self._done:
            return f"{len(lacking)} of its files are not there"
        return self._stop


def _ordered(jobs: Sequence[Job]) -> list[Job]:
    """Jobs from the last to the first: by rank and size, each behind what it waits for."""
    in_order = sorted(jobs, key=lambda job: (job.rank, job.bytes))
    place = {job.name: number for number, job in enumerate(in_order) if not job.after}

    def key(job: Job) -> tuple[int, bool]:
        behind = max((place[name] for name in job.after), default=-1)
        return (behind if job.after else place[job.name]), bool(job.after)

    return sorted(in_order, key=key, reverse=True)
