"""What directions decode to through a model's unembedding, and random ones through the same."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions import lens
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.decoded import Decoded, Random, Rank, Variant
from backtracking.records.directions import Directions
from backtracking.records.tokens import TokenSet


@dataclass(frozen=True)
class Reader:
    """The way out of one model.

    Attributes:
        role: of the model.
        w_u: its unembedding; where a model ties its embeddings, these are the same rows.
        gain: of its final norm.
        markers: words whose places are told.
        spell: the tokens of ids.
    """

    role: str
    w_u: Float[Tensor, "d_vocab d_model"]
    gain: Float[Tensor, " d_model"]
    markers: tuple[TokenSet, ...]
    spell: Callable[[list[int]], list[str]]

    @property
    def marker_ids(self) -> list[tuple[int, ...]]:
        """First tokens of each marker."""
        return [marker.ids for marker in self.markers]


def reader_of(role: str, loaded: LoadedModel, markers: Sequence[TokenSet]) -> Reader:
    """A model's way out."""
    return Reader(
        role,
        unembedding(loaded).cpu(),
        final_norm_gain(loaded).cpu(),
        tuple(markers),
        lambda chosen: [str(token) for token in loaded.tokenizer.convert_ids_to_tokens(chosen)],
    )


def decode(reader: Reader, directions: Directions, n_tokens: int) -> list[Decoded]:
    """Directions with and without the final norm, and without their part in the markers.

    Args:
        reader: the way out.
        directions: at least one.
        n_tokens: highest and lowest tokens that are listed.
    """
    whole = torch.stack([one.vector for one in directions])
    found = [
        *_read(reader, directions, "whole", whole, True, n_tokens),
        *_read(reader, directions, "whole", whole, False, n_tokens),
    ]
    if reader.markers:
        ids = [token for ids in reader.marker_ids for token in ids]
        bare = lens.without_markers(whole, reader.w_u, reader.gain, ids)
        found += _read(reader, directions, "without_markers", bare, True, n_tokens)
    return found


def decode_random(reader: Reader, randoms: Float[Tensor, "n d_model"]) -> list[Random]:
    """Where the markers stand along random directions, with and without the final norm."""
    found = []
    for final_norm, gain in ((True, reader.gain), (False, None)):
        logits = lens.decode(randoms, reader.w_u, gain)
        percentiles = lens.rank_percentiles(logits, reader.marker_ids).T.tolist()
        found += [
            Random(reader.role, final_norm, marker.name, tuple(its))
            for marker, its in zip(reader.markers, percentiles, strict=True)
        ]
    return found


def _read(
    reader: Reader,
    directions: Directions,
    variant: Variant,
    vectors: Float[Tensor, "n d_model"],
    final_norm: bool,
    n_tokens: int,
) -> list[Decoded]:
    """One record a direction, of which `vectors` is what is read."""
    whole = torch.stack([one.vector for one in directions]).double()
    cosines = torch.cosine_similarity(whole, vectors.double(), dim=1)
    if variant == "whole":
        cosines = torch.ones_like(cosines)
    logits = lens.decode(vectors, reader.w_u, reader.gain if final_norm else None)
    if variant == "without_markers":
        # They are 0 but for rounding, by which no marker should rank above another.
        logits[:, [token for ids in reader.marker_ids for token in ids]] = 0.0
    highest, lowest = lens.extremes(logits, n_tokens)
    ranks = _ranks(reader, logits)
    return [
        Decoded(
            place=place,
            unembedding=reader.role,
            final_norm=final_norm,
            variant=variant,
            cosine=float(cosines[row]),
            ranks=ranks[row],
            highest=tuple(reader.spell(highest[row].tolist())),
            lowest=tuple(reader.spell(lowest[row].tolist())),
        )
        for row, place in enumerate(directions.places)
    ]


def _ranks(reader: Reader, logits: Float[Tensor, "n d_vocab"]) -> list[tuple[Rank, ...]]:
    """The markers' places along each direction."""
    measures = (lens.ranks, lens.rank_percentiles, lens.z_scores)
    rank, percentile, z = (one(logits, reader.marker_ids).tolist() for one in measures)
    names = [marker.name for marker in reader.markers]
    return [tuple(map(Rank, names, *of_row)) for of_row in zip(rank, percentile, z, strict=True)]
