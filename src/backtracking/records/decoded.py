"""What directions decode to: markers and extreme tokens by direction, and the null of random ones.

No p stands here: `effects` holds the markers against the null.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backtracking.records import reader
from backtracking.records.places import Place

Variant = Literal["whole", "without_markers"]
"""A direction itself, or without its part in the span of the markers' rows."""

DECODED, RANDOM = "decoded.jsonl", "random.jsonl"
_CURE = "Decode the directions again: `dvc --wait-for-lock repro lens`."


@dataclass(frozen=True)
class Rank:
    """Where a marker stands among all tokens; of its spellings, the one that stands highest.

    Attributes:
        marker: the word.
        rank: 1 is the highest logit; ties share their mean rank.
        percentile: share of the other tokens that rank below.
        z: its logit in standard deviations over the vocabulary.
    """

    marker: str
    rank: float
    percentile: float
    z: float


@dataclass(frozen=True)
class Decoded:
    """A direction, read in one way through one unembedding.

    Attributes:
        place: of the direction.
        unembedding: role of the model whose unembedding it is.
        final_norm: whether the gain of that model's final norm was applied.
        variant: what of the direction was read.
        cosine: of what was read with the whole direction.
        ranks: of the markers.
        highest, lowest: tokens with the highest and the lowest logits, the extreme first.
    """

    place: Place
    unembedding: str
    final_norm: bool
    variant: Variant
    cosine: float
    ranks: tuple[Rank, ...]
    highest: tuple[str, ...]
    lowest: tuple[str, ...]


@dataclass(frozen=True)
class Random:
    """Percentiles of a marker along random directions.

    Attributes:
        unembedding, final_norm: as in `Decoded`.
        marker: the word.
        percentiles: one a direction.
    """

    unembedding: str
    final_norm: bool
    marker: str
    percentiles: tuple[float, ...]


def write_decoded(folder: Path, decoded: Iterable[Decoded], random: Iterable[Random]) -> None:
    """Writes what directions and random ones decode to."""
    reader.write_lines(folder / DECODED, decoded)
    reader.write_lines(folder / RANDOM, random)


def read_decoded(folder: Path) -> tuple[list[Decoded], list[Random]]:
    """What `write_decoded` wrote.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    decoded = reader.read_lines(Decoded, folder / DECODED, _CURE)
    return decoded, reader.read_lines(Random, folder / RANDOM, _CURE)
