"""The time that is left before a machine goes, and work that does not outlast it."""

import contextlib
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, cast

from lifeboat import processes
from lifeboat.stage.errors import UserError

S = TypeVar("S")
T = TypeVar("T")
TIMED_OUT = 124
N_THREADS = 16
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Seconds of a duration such as 90, 90s, 2m or 1.5h.

    Raises:
        UserError: for anything else, and for nothing.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    value = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not value:
        raise UserError(f"Expected a duration such as 90s or 2m, found {text!r}.")
    return value


@dataclass(frozen=True)
class Deadline:
    """A moment of this process's clock, which no change of the date moves.

    Attributes:
        at: seconds of `time.monotonic`; infinite where there is no hurry.
    """

    at: float = math.inf

    @classmethod
    def after(cls, seconds: float | int | None) -> "Deadline":
        """The moment so many seconds from now; None is never."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def is_never(self) -> bool:
        """Whether there is no hurry."""
        return math.isinf(self.at)

    @property
    def left(self) -> float:
        """Seconds that are left, 0 when it has passed."""
        return max(0.0, self.at - time.monotonic())

    @property
    def passed(self) -> bool:
        """Whether no time is left."""
        return self.left == 0

    def sooner(self, seconds: float | int) -> "Deadline":
        """A deadline that leaves so many seconds to what comes after."""
        return Deadline(self.at - seconds)

    def at_most(self, seconds: float | int) -> "Deadline":
        """This deadline, or so many seconds from now where that is sooner."""
        return Deadline(min(self.at, time.monotonic() + seconds))


class Later(Generic[T]):
    """What a function returns, from a thread that the end of the process does not wait for."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._answer: Future[T] = Future()
        threading.Thread(target=self._run, args=(ask,), daemon=True).start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answer.set_result(ask())
        except BaseException as error:  # raised again where the answer is asked for
            self._answer.set_exception(error)

    @property
    def is_known(self) -> bool:
        """Whether there is an answer by now."""
        return self._answer.done()

    def before(self, deadline: Deadline) -> T | None:
        """The answer, or None where there is none at the deadline.

        Raises:
            BaseException: what the function raised.
        """
        try:
            return self._answer.result(None if deadline.is_never else deadline.left)
        except TimeoutError:
            if self.is_known:
                raise
            return None


def within(deadline: Deadline, what: str, action: Callable[[], T]) -> T:
    """What `action` returns, unless it takes longer than there is time; then it is left behind.

    Raises:
        UserError: where it did not end in time, besides what `action` itself raises.
    """
    later = Later(action)
    found = later.before(deadline)
    if not later.is_known:
        raise UserError(f"{what}: no end within the time that there was.")
    return cast("T", found)


def in_threads(
    act: Callable[[S], T], values: Iterable[S], n_threads: int = N_THREADS
) -> Iterator[T]:
    """Results in order, with only a few values taken ahead; an error ends it all."""
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(n_threads)
    try:
        for value in values:
            waiting.append(pool.submit(act, value))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def call(
    command: list[str],
    root: Path,
    deadline: Deadline,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """A finished child process, killed with all of its own children at the deadline.

    A killed one has the return code `TIMED_OUT`, and what it had printed until then.
    """
    child = subprocess.Popen(
        command,
        cwd=root,
        env={**processes.environment(root), **(extra or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="surrogateescape",
        start_new_session=True,
    )
    try:
        out, err = child.communicate(timeout=None if deadline.is_never else deadline.left)
    except subprocess.TimeoutExpired:
        said = _kill(child)
        return subprocess.CompletedProcess(command, TIMED_OUT, said, "it did not end in time")
    except BaseException:
        _kill(child)
        raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _kill(child: subprocess.Popen[str]) -> str:
    """Ends a child's session; what it had printed.

    It is asked first, since git then takes its locks away. What left the session may hold its
    pipes, and is not waited for.
    """
    for number, seconds in ((signal.SIGTERM, 0.3), (signal.SIGKILL, 1.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.communicate(timeout=seconds)[0]
    return ""
