"""Ranges of characters, as TokenSpan has ranges of positions."""

from typing import NamedTuple


class TextSpan(NamedTuple):
    """Half-open range of characters of a text."""

    start: int
    end: int

    def overlap(self, other: "TextSpan") -> int:
        """Number of characters that both have."""
        return max(0, min(self.end, other.end) - max(self.start, other.start))
