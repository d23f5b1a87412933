"""What a direction compares: rows of two classes within strata, by the form that chooses them."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

WARD_WINDOW = (-13, -8)
"""First and last offset from a sentence's first token (Ward, arXiv 2507.12638)."""

VENHOFF_WINDOW = (-1, 10)
"""First and last offset from a sentence's first token (Venhoff, arXiv 2506.18167)."""


@dataclass(frozen=True)
class Contrast:
    """Rows of two classes within strata.

    Attributes:
        activations: one row per token or sentence.
        is_positive: class of each row.
        stratum: number of each row's stratum, from 0.
        problem: number of each row's problem, from 0.
        against: the positive mean minus the mean of the `negative` rows, or of `all` rows.
        weight: how much each row counts; by default 1.
    """

    activations: Float[Tensor, "rows d_model"]
    is_positive: Bool[Tensor, " rows"]
    stratum: Int[Tensor, " rows"]
    problem: Int[Tensor, " rows"]
    against: Literal["negative", "all"] = "negative"
    weight: Float[Tensor, " rows"] | None = None


def matched(
    activations: Float[Tensor, "rows d_model"],
    is_positive: Bool[Tensor, " rows"],
    stratum: Int[Tensor, " rows"],
    problem: Int[Tensor, " rows"],
) -> Contrast:
    """Positive minus negative rows within strata, so that what defines a stratum cancels.

    At the same offset from the deciding token; on the organism, by running total.
    """
    return Contrast(activations, is_positive, stratum, problem)


def ward(
    windows: Float[Tensor, "sentences offsets d_model"],
    present: Bool[Tensor, "sentences offsets"],
    offsets: Int[Tensor, " offsets"],
    is_positive: Bool[Tensor, " sentences"],
    problem: Int[Tensor, " sentences"],
    window: tuple[int, int] = WARD_WINDOW,
) -> Contrast:
    """Backtracking sentences minus all labelled sentences, in a window before the sentence.

    The contrast includes the type of the sentences before. Sentences without any token in the
    window are left out.

    Args:
        windows: activations around each labelled sentence's first token.
        present: where the trace has such a token; other entries are never read.
        offsets: offset of each column from the sentence's first token.
        is_positive: whether the sentence is backtracking.
        problem: number of each sentence's problem.
        window: first and last offset, both included.
    """
    inside = present & (offsets >= window[0]) & (offsets <= window[1])
    kept = inside.any(dim=1)
    if not kept.any():
        raise ValueError(f"Expected tokens in the window of some of {len(inside)} sentences.")
    sums = torch.zeros(windows.shape[0], windows.shape[2], dtype=torch.float64)
    for column in inside.any(dim=0).nonzero().flatten().tolist():
        rows = inside[:, column]
        sums[rows] += windows[rows, column].double()
    means = sums[kept] / inside[kept].sum(dim=1, keepdim=True)
    stratum = torch.zeros_like(problem[kept])
    return Contrast(means, is_positive[kept], stratum, problem[kept], "all")


def venhoff(
    windows: Float[Tensor, "sentences offsets d_model"],
    present: Bool[Tensor, "sentences offsets"],
    offsets: Int[Tensor, " offsets"],
    n_tokens: Int[Tensor, " sentences"],
    is_positive: Bool[Tensor, " sentences"],
    problem: Int[Tensor, " sentences"],
) -> Contrast:
    """Sentences of a state minus all labelled sentences, over the sentence's own first tokens.

    Reads the event's own words: the token before the sentence, then its tokens up to its last or
    the one at offset 10. The overall mean is over the same windows of all labelled sentences.

    Args:
        windows: as in `ward`, and so is the rest; `is_positive` marks the sentences of the state.
        n_tokens: number of tokens of each sentence.
    """
    inside = present & (offsets < n_tokens[:, None])
    return ward(windows, inside, offsets, is_positive, problem, VENHOFF_WINDOW)
