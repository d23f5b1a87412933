"""Work that shares calls of a model: as much at once as asked and as memory holds.

How much that is was planned before (`footprint`); where memory ends even so, it is half of it.

What a row gives does not depend on the rows beside it but for counted near ties, so that less at
once changes how long the work takes and nothing else.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch

from backtracking.models.footprint import Kind
from lifeboat.stage.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the host had no memory for a tensor."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
    )


@dataclass
class Held:
    """What a model is known to have room for.

    Attributes:
        n_tokens: at once, by kind of work: planned from free memory, or found where it ended.
        told: kinds of work of which fewer items than asked were said to go at once.
    """

    n_tokens: dict[Kind, int] = field(default_factory=dict)
    told: set[Kind] = field(default_factory=set)


class Room:
    """How much of one kind of work goes through a model at once; it never grows again.

    What memory holds is told in tokens, as texts differ in length, and belongs to the model: the
    next piece of work of this kind begins with it.

    Args:
        held: what the model has room for; changed where memory ends.
        asked: items in one call, 1 or more.
        kind: of work.
    """

    def __init__(self, held: Held, asked: int, kind: Kind) -> None:
        self._held, self._asked = held, max(1, asked)
        self._kind: Kind = kind

    def at_once(self, n_tokens: int) -> int:
        """Items of so many tokens in one call."""
        n_fitting = max(1, self._held.n_tokens.get(self._kind, sys.maxsize) // n_tokens)
        if n_fitting < self._asked and self._kind not in self._held.told:
            self._tell(
                f"Memory holds {n_fitting} {self._kind} of {n_tokens:,} tokens in a call of the "
                f"model, of {self._asked} that are asked for: so many go at once."
            )
        return min(self._asked, n_fitting)

    def parts(
        self, items: Sequence[T], run: Callable[[Sequence[T]], R], n_tokens: int
    ) -> Iterator[R]:
        """What `run` makes of each part of some items, in their order.

        A part for which memory ended is run again in smaller ones, so `run` must not leave half of
        anything behind.

        Args:
            items: what is run.
            run: runs some of them.
            n_tokens: of one item, at most.

        Raises:
            UserError: where a single item does not fit.
        """
        first = 0
        while first < len(items):
            some = items[first : first + self.at_once(n_tokens)]
            try:
                found = run(some)
            except RuntimeError as error:
                self.require(error, len(some))
            else:
                yield found
                del found  # it may be large
                first += len(some)
                continue
            self.halve(len(some), n_tokens)  # out of the handler: the error holds the tensors

    def each(self, items: Sequence[T], run: Callable[[Sequence[T]], object], n_tokens: int) -> None:
        """As `parts`, where `run` puts away by itself what it finds."""
        for _ in self.parts(items, run, n_tokens):
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
                f"Memory ends with one of the {self._kind} in a call of the model.",
                "Use a device with more memory, a smaller dtype, or shorter texts.",
            ) from error

    def halve(self, n: int, n_tokens: int) -> None:
        """Takes half of n items of so many tokens at once from now on, and says so."""
        fewer = max(1, n // 2)
        self._held.n_tokens[self._kind] = fewer * n_tokens
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._tell(f"Out of memory: going on with {fewer} {self._kind} in a call of the model.")

    def _tell(self, said: str) -> None:
        self._held.told.add(self._kind)
        print(said, file=sys.stderr, flush=True)
