"""Questions asked all at once; one that is never answered costs its time limit and no more."""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from lifeboat.deadlines import Deadline

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

    def before(self, deadline: Deadline) -> T | None:
        """The answer, or None where there is none at the deadline.

        Raises:
            BaseException: what the function raised.
        """
        try:
            answer = self._answers.get(timeout=deadline.left)
        except queue.Empty:
            return None
        if isinstance(answer, BaseException):
            raise answer
        return answer
