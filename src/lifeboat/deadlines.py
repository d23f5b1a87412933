"""The time that is left before a machine goes, and work that does not outlast it."""

import contextlib
import math
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lifeboat import processes
from lifeboat.stage.errors import UserError

T = TypeVar("T")
TIMED_OUT = 124
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


def within(deadline: Deadline, what: str, action: Callable[[], T]) -> T:
    """What `action` returns, unless it takes longer than there is time.

    It runs in a thread that does not keep the process alive: what hangs is left behind.

    Raises:
        UserError: where it did not end in time, besides what `action` itself raises.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(action())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=what, daemon=True)
    thread.start()
    while thread.is_alive() and not deadline.passed:
        thread.join(min(deadline.left, 0.5))
    if errors:
        raise errors[0]
    if not results:
        raise UserError(f"{what}: no end within the time that there was.")
    return results[0]


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
        errors="replace",
        start_new_session=True,
    )
    limit: dict[str, Any] = {} if deadline.is_never else {"timeout": deadline.left}
    try:
        out, err = child.communicate(**limit)
    except subprocess.TimeoutExpired:
        said = _kill(child)
        return subprocess.CompletedProcess(command, TIMED_OUT, said, "it did not end in time")
    except BaseException:
        _kill(child)
        raise
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _kill(child: subprocess.Popen[str]) -> str:
    """Kills a child's session; what it had printed.

    What left the session may hold its pipes, and is not waited for.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.communicate(timeout=1)[0]
    return ""
