"""Questions asked all at once; one that is never answered costs its time limit and no more."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from lifeboat.deadlines import Deadline

T = TypeVar("T")


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

    def before(self, deadline: Deadline) -> T | None:
        """The answer, or None where there is none at the deadline.

        Raises:
            BaseException: what the function raised.
        """
        try:
            return self._answer.result(deadline.left)
        except TimeoutError:
            if self._answer.done():
                raise
            return None
