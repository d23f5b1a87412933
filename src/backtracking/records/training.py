"""What a model is trained on: rows of token ids, and where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tokenizers import Tokenizer

CHUNK = 512
"""Rows that are put into batches together, by length."""


@dataclass(frozen=True)
class Row:
    """One training trace: its token ids, and how many of them are the prompt."""

    ids: list[int]
    n_prompt: int


class RowSource(Protocol):
    """What training rows come from: a frozen dataclass, as it is part of what a model is."""

    def rows(self, tokenizer: Tokenizer, seed: int, context: int) -> Iterator[Row]:
        """Rows without end, in an order that the seed alone decides."""
        ...
