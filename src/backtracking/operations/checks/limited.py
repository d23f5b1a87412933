"""Questions that may never be answered: they cost their time limit and no more."""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

from backtracking.operations import processes

T = TypeVar("T")


class Later(Generic[T]):
    """What a function returns, from a thread that the end of the process does not wait for."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._answers: queue.SimpleQueue[T | BaseException] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(ask,), daemon=True).start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answers.put(ask())
        except BaseException as error:  # raised again where the answer is asked for
            self._answers.put(error)

    def before(self, deadline: float) -> T | None:
        """The answer, or None where there is none at `deadline` on the monotonic clock.

        Raises:
            BaseException: what the function raised.
        """
        try:
            answer = self._answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return None
        if isinstance(answer, BaseException):
            raise answer
        return answer


def run(
    command: list[str], root: Path, seconds: float, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A child of `root` that has ended, by itself or killed with all its children after `seconds`.

    A killed one has a negative return code, and what it had said until then.
    """
    with subprocess.Popen(
        command,
        cwd=root,
        env={**processes.environment(root), **(extra or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as child:
        try:
            said, complained = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            _kill(child)
            said, complained = child.communicate()
        except BaseException:
            _kill(child)
            raise
    return subprocess.CompletedProcess(command, child.returncode, said, complained)


def _kill(child: subprocess.Popen[str]) -> None:
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()
