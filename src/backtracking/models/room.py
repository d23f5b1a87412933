"""Work that shares calls of a model: as much at once as asked, and half of it when memory ends.

What a row gives does not depend on the rows beside it but for counted near ties, so that less at
once changes how long the work takes and nothing else.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from lifeboat.stage.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
    )


class Room:
    """How much goes through a model at once; it never grows again.

    Args:
        at_once: items in one call, 1 or more.
        what: what they are called, in the plural.
    """

    def __init__(self, at_once: int, what: str = "rows") -> None:
        self.at_once, self.what = max(1, at_once), what

    def parts(self, items: Sequence[T], run: Callable[[Sequence[T]], R]) -> Iterator[R]:
        """What `run` makes of each part of some items, in their order.

        A part for which memory ended is run again in smaller ones, so `run` must not leave half of
        anything behind.

        Raises:
            UserError: where a single item does not fit.
        """
        first = 0
        while first < len(items):
            some = items[first : first + self.at_once]
            try:
                found = run(some)
            except RuntimeError as error:
                self.require(error, len(some))
            else:
                yield found
                del found  # it may be large
                first += len(some)
                continue
            self.halve(len(some))  # out of the handler: the error holds the tensors

    def each(self, items: Sequence[T], run: Callable[[Sequence[T]], object]) -> None:
        """As `parts`, where `run` puts away by itself what it finds."""
        for _ in self.parts(items, run):
            pass

    def require(self, error: RuntimeError, n: int) -> None:
        """Goes on where memory ended for more than one item; else raises.

        Raises:
            UserError: where memory ended for a single item.
            RuntimeError: the error itself, where memory did not end.
        """
        if not is_out_of_memory(error):
            raise error
        if n == 1:
            raise UserError(
                f"Memory ends with one of the {self.what} in a call of the model.",
                "Use a device with more memory, a smaller dtype, or shorter texts.",
            ) from error

    def halve(self, n: int) -> None:
        """Takes half of n at once from now on, and says so."""
        self.at_once = max(1, n // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        said = f"Out of memory: going on with {self.at_once} {self.what} in a call of the model."
        print(said, file=sys.stderr, flush=True)
