"""The state of long work, kept now and then: the last two of it, and the last one that is whole."""

from typing import Any

from lifeboat.stage import pack
from lifeboat.stage.names import Types
from lifeboat.stage.shelf import Shelf

_N_KEPT = 2


class Steps:
    """The kept states of one unit that this process is making: files `<key>.<step>` beside it.

    Args:
        shelf: of the out.
        key: of the unit.
        types: as `pack.pack`.
    """

    def __init__(self, shelf: Shelf, key: str, types: Types) -> None:
        self._shelf, self._key, self._types = shelf, key, types

    def latest(self) -> tuple[int, Any] | None:
        """The last step whose state is whole, with it; None where there is none."""
        for step in reversed(self._shelf.numbers(self._key)):
            if path := self._shelf.find(self._name(step)):
                return step, pack.read(path, self._types)
            self._shelf.discard(self._name(step))
        return None

    def keep(self, step: int, state: Any) -> None:
        """Keeps the state after a step, and of those before it the last one.

        Raises:
            ValueError: for a step below 0.
            TypeError, UserError: as `Units.get`.
        """
        if step < 0:
            raise ValueError(f"step {step} is below 0.")
        self._shelf.add(self._name(step), lambda path: pack.write(path, state, self._types))
        for old in self._shelf.numbers(self._key)[:-_N_KEPT]:
            self._shelf.remove(self._name(old))

    def clear(self) -> None:
        """Removes all of them."""
        for step in self._shelf.numbers(self._key):
            self._shelf.remove(self._name(step))

    def _name(self, step: int) -> str:
        return f"{self._key}.{step}"
