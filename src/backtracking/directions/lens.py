"""What a direction writes by itself: its logits through an unembedding, and the same without them.

The logit lens of a vector v is `W_U (gain * v)`. The final norm divides by a size that depends on
the whole stream, which a direction alone does not have: a positive factor, which changes no rank.
So of the norm only its gain is applied; the mean that a layer norm takes away is left in.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.directions.vectors import without_span
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding


def decode(
    directions: Float[Tensor, "n d_model"],
    w_u: Float[Tensor, "d_vocab d_model"],
    gain: Float[Tensor, " d_model"] | None = None,
) -> Float[Tensor, "n d_vocab"]:
    """The logits that each direction adds, in float64.

    Args:
        directions: of any norm; ranks and z-scores do not depend on it.
        w_u: unembedding of the model that is asked, which need not be the directions' own.
        gain: that model's final norm's (`models.final_norm_gain`); without it the raw `W_U v`.
    """
    scaled = directions.double() if gain is None else directions.double() * gain.double()
    return scaled @ w_u.double().T


def ranks(
    logits: Float[Tensor, "n d_vocab"], marker_ids: Sequence[Sequence[int]]
) -> Float[Tensor, "n markers"]:
    """Rank of each marker among all tokens: 1 is the highest logit; ties share their mean rank.

    Args:
        logits: of directions.
        marker_ids: the first tokens of each marker's spellings, of which the highest counts.
    """
    own = _highest(logits, marker_ids)[:, :, None]
    higher = (logits[:, None] > own).sum(dim=2)
    equal = (logits[:, None] == own).sum(dim=2)
    return 1.0 + higher.double() + (equal.double() - 1) / 2


def rank_percentiles(
    logits: Float[Tensor, "n d_vocab"], marker_ids: Sequence[Sequence[int]]
) -> Float[Tensor, "n markers"]:
    """Share of the other tokens that rank below each marker: 1 for the highest, 0 the lowest."""
    d_vocab = logits.shape[1]
    return (d_vocab - ranks(logits, marker_ids)) / (d_vocab - 1)


def z_scores(
    logits: Float[Tensor, "n d_vocab"], marker_ids: Sequence[Sequence[int]]
) -> Float[Tensor, "n markers"]:
    """Logit of each marker in standard deviations over the vocabulary; 0 where all are equal."""
    spread = logits.std(dim=1, correction=0, keepdim=True)
    centred = _highest(logits, marker_ids) - logits.mean(dim=1, keepdim=True)
    return centred / torch.where(spread > 0, spread, 1.0)


def extremes(
    logits: Float[Tensor, "n d_vocab"], n_tokens: int
) -> tuple[Int[Tensor, "n tokens"], Int[Tensor, "n tokens"]]:
    """Ids of the highest tokens, highest first, and of the lowest, lowest first."""
    order = logits.argsort(dim=1, descending=True, stable=True)
    n = min(n_tokens, logits.shape[1])
    return order[:, :n], order.flip(1)[:, :n]


def marker_rows(loaded: LoadedModel, marker_ids: Sequence[int]) -> Float[Tensor, "ids d_model"]:
    """A model's `gain * W_U[markers]`, in float64: all that writes to these tokens directly."""
    rows = unembedding(loaded)[list(marker_ids)].double()
    return rows * final_norm_gain(loaded).double()


def without_markers(
    directions: Float[Tensor, "n d_model"],
    w_u: Float[Tensor, "d_vocab d_model"],
    gain: Float[Tensor, " d_model"],
    marker_ids: Sequence[int],
) -> Float[Tensor, "n d_model"]:
    """The directions minus their part in the span of `gain * W_U[markers]`, in float64.

    Behind the final norm's gain such a direction adds exactly 0 to every marker's logit. What it
    still does to the markers, it does by way of later blocks. Not rescaled.
    """
    return without_span(directions, w_u[list(marker_ids)].double() * gain.double())


def _highest(
    logits: Float[Tensor, "n d_vocab"], marker_ids: Sequence[Sequence[int]]
) -> Float[Tensor, "n markers"]:
    found = [logits[:, list(ids)].amax(dim=1) for ids in marker_ids]
    return torch.stack(found, dim=1) if found else logits[:, :0]
