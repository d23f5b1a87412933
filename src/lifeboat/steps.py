"""Steps of a verb, each of which is taken whatever became of the one before."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from lifeboat.items import Item
from lifeboat.stage import failures
from lifeboat.stage.errors import UserError

T = TypeVar("T")
ENDINGS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends a process or a generator. All else fails one step, whatever class it has: a panic of
Rust and a cancelled task of asyncio are no `Exception`."""


def item(error: BaseException, what: str = "") -> Item:
    """An error as an item; its traceback is kept. See `failures.fact_and_cure`."""
    fact, cure = failures.fact_and_cure(error, what)
    return Item(fact, "wrong", cure)


@dataclass
class Steps:
    """Steps of a verb, each of which is taken whatever became of the one before.

    Attributes:
        items: what is known so far.
    """

    items: list[Item] = field(default_factory=list)

    def attempt(self, what: str, step: Callable[[], T]) -> T | None:
        """What a step returns; None where it failed, whatever with, which is noted.

        Args:
            what: the step, as the beginning of a sentence.
            step: an interruption is none of its failures, and ends it all.
        """
        try:
            return step()
        except ENDINGS:
            raise
        except BaseException as error:
            self.items.append(item(error, what))
            return None

    def require(self, what: str, check: Callable[[], object]) -> None:
        """Takes a step without which no other makes sense, if it is the user's fault that it fails.

        Raises:
            UserError: as the step; any other failure is noted.
        """
        try:
            check()
        except (UserError, *ENDINGS):
            raise
        except BaseException as error:
            self.items.append(item(error, what))

    def add(self, what: str, step: Callable[[], Iterable[Item]]) -> None:
        """Notes what a step says; that it failed, where it did."""
        self.items += self.attempt(what, lambda: list(step())) or ()
