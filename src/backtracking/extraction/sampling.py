"""The traces on which a store is checked: where something may change, not where it is cheap."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

from backtracking.activations.format import Positions
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Formula, rows_of
from backtracking.models.loading import LoadedModel, require_ids

N_LIMITS = 2
"""Lengths at which the model changes its formula that are looked at from both sides."""


def known(model: LoadedModel, items: Iterable[Item]) -> Iterator[Item]:
    """The same traces, each checked for ids and lengths that the model cannot read.

    Raises:
        UserError: naming the first trace that it cannot.
    """
    for item in items:
        require_ids(model, item.ids, f"Trace {item.trace}")
        yield item


class Survey:
    """What is seen of the traces while they are gone through once; those without rows are not.

    Args:
        positions: the rows kept of each trace.
        formula: by which the model reads a trace of so many tokens.
    """

    def __init__(self, positions: Positions, formula: Formula) -> None:
        self._positions, self._formula = positions, formula
        self._lengths: dict[int, int] = {}
        self._count_by_token: Counter[int] = Counter()
        self._first_with: dict[int, int] = {}

    def seen(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same traces, looked at as they pass; they are numbered in this order."""
        for number, item in enumerate(items):
            if len(rows_of(item, self._positions)):
                self._lengths[number] = len(item.ids)
                self._count_by_token.update(item.ids)
                for token in set(item.ids):
                    self._first_with.setdefault(token, number)
            yield item

    def chosen(self) -> list[int]:
        """Numbers of the first trace, the last, the shortest, the longest, of one with the rarest
        token, and of those on both sides of the first lengths at which the formula changes."""
        numbers = sorted(self._lengths, key=lambda number: (self._lengths[number], number))
        if not numbers:
            return []
        rarest = min(self._count_by_token, key=lambda token: (self._count_by_token[token], -token))
        found = {min(numbers), max(numbers), numbers[0], numbers[-1], self._first_with[rarest]}
        return sorted(found.union(*self.limits(numbers)))

    def of(self, first: int, n: int) -> list[int]:
        """Numbers of the shortest and the next trace among n of which one is the first."""
        own = [number for number in self._lengths if first <= number < first + n]
        return sorted(own, key=lambda number: self._lengths[number])[:2]

    def limits(self, numbers: Iterable[int]) -> list[tuple[int, int]]:
        """The longest trace below and the shortest above each of the first limits among some."""
        seen = (number for number in numbers if number in self._lengths)
        by_length = sorted(seen, key=lambda number: self._lengths[number])
        pairs = (
            pair
            for pair in pairwise(by_length)
            if len({self._formula(self._lengths[number]) for number in pair}) > 1
        )
        return [pair for pair, _ in zip(pairs, range(N_LIMITS), strict=False)]
