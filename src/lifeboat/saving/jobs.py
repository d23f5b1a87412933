"""Things to send, in order, by several threads, until there is no time for the next.

What is small and rare goes first, what others wait for before them, and a remote that takes nothing
is not asked for every single thing.
"""

import heapq
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
    queue = _Queue(jobs, deadline)
    for _ in range(min(n_threads, len(jobs))):
        threading.Thread(target=queue.work, name="sending", daemon=True).start()
    return queue.wait()


class _Queue:
    """Jobs that several threads share; a job becomes ready when what it waits for is done."""

    def __init__(self, jobs: Sequence[Job], deadline: Deadline) -> None:
        self._jobs, self._deadline = jobs, deadline
        self._changed = threading.Condition()
        self._ready: list[tuple[int, int, int]] = []
        self._waiting = {number: set(job.after) for number, job in enumerate(jobs) if job.after}
        self._reasons: dict[int, str] = {}
        self._done: set[int] = set()
        self._begun: set[int] = set()
        self._rate = 0.0
        self._n_failed_in_a_row = 0
        self._stop = ""
        for number, job in enumerate(jobs):
            if not job.after:
                self._push(number)

    def work(self) -> None:
        """Does jobs until there is none to begin."""
        while (number := self._take()) is not None:
            job, start = self._jobs[number], time.monotonic()
            try:
                job.send()
            except StoreError as error:
                self._stumble(error)
                self._fail(number, str(error))
            except (UserError, OSError) as error:
                self._fail(number, str(error))
            except BaseException as error:
                self._fail(number, f"{type(error).__name__}: {error}")
                raise
            else:
                self._finish(number, time.monotonic() - start)

    def wait(self) -> Sent:
        """Waits for all threads or for the deadline."""
        with self._changed:
            while not self._is_over() and not self._deadline.passed:
                self._changed.wait(min(self._deadline.left, 0.5))
            self._stop = self._stop or "there was no time left for it"
            return self._outcome()

    def _take(self) -> int | None:
        with self._changed:
            while True:
                while self._ready and not self._stop:
                    *_, number = heapq.heappop(self._ready)
                    if self._fits(number):
                        self._begun.add(number)
                        return number
                if self._stop or not self._begun - self._done - self._reasons.keys():
                    return None
                self._changed.wait(0.5)

    def _fits(self, number: int) -> bool:
        needed = self._jobs[number].bytes / self._rate if self._rate else 0.0
        left = self._deadline.left
        if needed <= left and left > 0:
            return True
        self._reasons[number] = f"it takes about {needed:.0f} s, and {left:.0f} s were left"
        self._changed.notify_all()
        return False

    def _push(self, number: int) -> None:
        job = self._jobs[number]
        heapq.heappush(self._ready, (-1 if job.after else job.rank, job.bytes, number))

    def _finish(self, number: int, seconds: float) -> None:
        with self._changed:
            job = self._jobs[number]
            self._done.add(number)
            self._n_failed_in_a_row = 0
            if job.bytes >= _TELLING:
                self._rate = job.bytes / max(seconds, 1e-3)
            for other, names in list(self._waiting.items()):
                names.discard(job.name)
                if not names:
                    del self._waiting[other]
                    self._push(other)
            self._changed.notify_all()

    def _fail(self, number: int, reason: str) -> None:
        with self._changed:
            self._reasons[number] = reason
            self._changed.notify_all()

    def _stumble(self, error: StoreError) -> None:
        """Stops it all where the remote will not take anything else either."""
        with self._changed:
            self._n_failed_in_a_row += 1
            if error.kind in HOPELESS or self._n_failed_in_a_row >= _IN_A_ROW:
                self._stop = self._stop or f"not tried, after another failed: {error}"

    def _is_over(self) -> bool:
        n_ended = len(self._done) + len(self._reasons)
        is_idle = not self._begun - self._done - self._reasons.keys()
        return n_ended + len(self._waiting) == len(self._jobs) or (bool(self._stop) and is_idle)

    def _outcome(self) -> Sent:
        left = []
        for number, job in enumerate(self._jobs):
            if number in self._done:
                continue
            reason = self._reasons.get(number) or self._stop
            if number in self._waiting:
                reason = f"{len(self._waiting[number])} of its files are not there"
            elif number in self._begun and number not in self._reasons:
                reason = "it was on its way when the time was up"
            left.append((job, reason))
        done = tuple(self._jobs[number] for number in sorted(self._done))
        return Sent(done, tuple(left))
