"""Ranges of characters, as TokenSpan has ranges of positions."""

from typing import NamedTuple


class TextSpan(NamedTuple):
    """Half-open range of characters of a text."""

    start: int
    end: int

    def overlap(self, other: "TextSpan") -> int:
        """Number of characters that both have."""
        return max(0, min(self.end, other.end) - max(self.start, other.start))


class Ordinal(NamedTuple):
    """Where in its trace a sentence stands.

    Attributes:
        number: of the sentence, from 0.
        n: sentences of the trace.
    """

    number: int
    n: int
