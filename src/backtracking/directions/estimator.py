"""Directions between classes of moments: the contrasts, and one estimator for all of them.

A form (`matched`, `ward`, `venhoff`) chooses rows; the same estimator reads them all. It needs
sums by problem, stratum and class only (`Cells`), so directions for thousands of resamples or
halves of the problems are a few matrix products. All sums are in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

WARD_WINDOW = (-13, -8)
"""First and last offset from a sentence's first token (Ward, arXiv 2507.12638)."""

VENHOFF_WINDOW = (-1, 10)
"""First and last offset from a sentence's first token (Venhoff, arXiv 2506.18167)."""

_CHUNK = 512
_TINY = 1e-300


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


@dataclass(frozen=True)
class Estimate:
    """A direction and the rows that it rests on.

    Attributes:
        direction: the weighted difference of means, not normalised, in float64.
        n_positive: positive rows in the strata used; of weighted rows, the rounded sum of weights.
        n_negative: negative rows in the strata used, likewise.
        n_strata: number of strata used, those with both classes.
        dropped_rate: share of rows in strata that lack a class.
    """

    direction: Float[Tensor, " d_model"]
    n_positive: int
    n_negative: int
    n_strata: int
    dropped_rate: float


@dataclass(frozen=True)
class Cells:
    """Sums of a contrast's rows per (problem, stratum, class): all that its direction depends on.

    Attributes:
        sums: sum of the rows of each cell that has rows, in float64.
        counts: number of rows of each cell, or the sum of their weights.
        is_positive: class of each cell; `stratum`, `problem` and `against` as in `Contrast`.
        n_problems: number of problems that may be weighted.
    """

    sums: Float[Tensor, "cells d_model"]
    counts: Float[Tensor, " cells"]
    is_positive: Bool[Tensor, " cells"]
    stratum: Int[Tensor, " cells"]
    problem: Int[Tensor, " cells"]
    n_problems: int
    against: Literal["negative", "all"]


def difference_of_means(
    positive: Float[Tensor, "n_positive d_model"], negative: Float[Tensor, "n_negative d_model"]
) -> Float[Tensor, " d_model"]:
    """Mean of the positive rows minus mean of the negative rows, in float64."""
    if not len(positive) or not len(negative):
        found = f"{len(positive)} positive and {len(negative)} negative"
        raise ValueError(f"Expected rows of both classes, found {found}.")
    return positive.mean(0, dtype=torch.float64) - negative.mean(0, dtype=torch.float64)


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


def action(
    w_u: Float[Tensor, "d_vocab d_model"],
    final_norm_gain: Float[Tensor, " d_model"],
    marker_ids: Sequence[int],
    alternative_ids: Sequence[int],
) -> Float[Tensor, " d_model"]:
    """u = gain * (W_U[marker] - W_U[alternative]), the pure "write Wait" direction.

    Means over several tokens on either side; the gain is the factor that the final norm applies.
    Added before that norm, u is what raises the markers' logits over the alternatives' directly.
    """
    difference = difference_of_means(w_u[list(marker_ids)], w_u[list(alternative_ids)])
    return difference * final_norm_gain.double()


def without_span(
    vectors: Float[Tensor, "*n d_model"], rows: Float[Tensor, "k d_model"]
) -> Float[Tensor, "*n d_model"]:
    """The vectors without their components in the span of the rows, in float64.

    With the markers' unembedding rows times the final norm's gain, what is left cannot raise or
    lower a marker's logit directly.
    """
    _, sizes, basis = torch.linalg.svd(rows.double(), full_matrices=False)
    basis = basis[sizes > sizes.max() * 1e-6]
    return vectors.double() - vectors.double() @ basis.T @ basis


def random_directions(
    n: int, d_model: int, generator: torch.Generator
) -> Float[Tensor, "n d_model"]:
    """Directions of norm 1, uniform on the sphere, in float64."""
    directions = torch.randn(n, d_model, generator=generator, dtype=torch.float64)
    return directions / directions.norm(dim=1, keepdim=True)


def shuffle_within(
    is_positive: Bool[Tensor, " rows"], stratum: Int[Tensor, " rows"], generator: torch.Generator
) -> Bool[Tensor, " rows"]:
    """The classes, permuted among the rows of each stratum: the null of every contrast."""
    order = torch.randperm(len(stratum), generator=generator)
    shuffled = torch.empty_like(is_positive)
    shuffled[stratum.argsort(stable=True)] = is_positive[order[stratum[order].argsort(stable=True)]]
    return shuffled


def estimate(contrast: Contrast) -> Estimate:
    """The contrast's direction, each class with equal weight within a stratum.

    A stratum's weight is the harmonic mean of its two class sizes, which has the least variance;
    strata that lack a class have weight 0 and are counted as dropped.

    Raises:
        ValueError: where no stratum holds both classes.
    """
    cells = sum_cells(contrast)
    directions, totals = _combine(cells, torch.ones(1, cells.n_problems, dtype=torch.float64))
    used = totals[0, totals[0].min(dim=1).values > 0]
    if not len(used):
        found = f"{int(contrast.is_positive.sum())} positive rows of {len(contrast.stratum)}"
        raise ValueError(f"Expected a stratum with both classes, found none ({found}).")
    negative, positive = (round(float(n)) for n in used.sum(dim=0))
    dropped = 1 - float(used.sum() / cells.counts.sum())
    return Estimate(directions[0], positive, negative, len(used), dropped)


def sum_cells(contrast: Contrast, n_problems: int | None = None) -> Cells:
    """Sums of the contrast's rows by problem, stratum and class.

    By default there are as many problems as the rows name; some may have no row here.
    """
    keys = torch.stack([contrast.problem, contrast.stratum, contrast.is_positive.long()], dim=1)
    distinct, cell = keys.unique(dim=0, return_inverse=True)
    d_model = contrast.activations.shape[1]
    sums = torch.zeros(len(distinct), d_model, dtype=torch.float64)
    weight = None if contrast.weight is None else contrast.weight.double()
    for rows in torch.arange(len(keys)).split(_CHUNK):
        values = contrast.activations[rows].double()
        if weight is not None:
            values = values * weight[rows, None]
        sums.index_add_(0, cell[rows], values)
    counts = torch.bincount(cell, weight, minlength=len(distinct)).double()
    problem, stratum, is_positive = distinct.unbind(dim=1)
    n = int(problem.max()) + 1 if n_problems is None else n_problems
    return Cells(sums, counts, is_positive.bool(), stratum, problem, n, contrast.against)


def resample_directions(
    cells: Cells, weights: Float[np.ndarray, "n problems"]
) -> Float[np.ndarray, "n d_model"]:
    """The direction for each row of problem weights; NaN where no stratum holds both classes."""
    if weights.shape[1] != cells.n_problems:
        found = weights.shape[1]
        raise ValueError(f"Expected weights for {cells.n_problems} problems, found {found}.")
    chunks = torch.from_numpy(weights).double().split(_CHUNK)
    return torch.cat([_combine(cells, chunk)[0] for chunk in chunks]).numpy()


def shuffled_directions(
    contrast: Contrast,
    labels: Bool[Tensor, "n rows"],
    weights: Float[np.ndarray, "m problems"],
) -> Float[np.ndarray, "n m d_model"]:
    """The directions under other labels of the same rows, for each row of problem weights.

    With labels from `shuffle_within` they are the null of directions, norms and cosines: it holds
    what the rows have in common whatever their class.
    """
    rows = Cells(
        contrast.activations.double(),
        torch.ones(len(contrast.stratum), dtype=torch.float64),
        contrast.is_positive,
        contrast.stratum,
        contrast.problem,
        weights.shape[1],
        contrast.against,
    )
    found = [resample_directions(replace(rows, is_positive=label), weights) for label in labels]
    return np.stack(found)


def split_half_directions(
    cells: Cells,
    halves: Bool[np.ndarray, "n_splits problems"],
    weights: Float[np.ndarray, "n problems"] | None = None,
) -> Float[np.ndarray, "n n_splits 2 d_model"]:
    """The directions of both halves of every split, for each row of problem weights.

    A resampled problem stays in its half with all its copies, so halves share no noise in a
    bootstrap either.

    Args:
        cells: sums of the contrast.
        halves: problems of the first half of each split (`statistics.split_halves`).
        weights: bootstrap weights (`statistics.resample_problems`); by default one row of ones.
    """
    if weights is None:
        weights = np.ones((1, halves.shape[1]))
    both = np.stack([halves, ~halves], axis=1)
    rows = (weights[:, None, None] * both).reshape(-1, halves.shape[1])
    return resample_directions(cells, rows).reshape(len(weights), *both.shape[:2], -1)


def project(
    activations: Float[Tensor, "rows d_model"], direction: Float[Tensor, " d_model"]
) -> Float[Tensor, " rows"]:
    """Component of every row along the direction, in float64; the direction's norm cancels."""
    unit = direction.double() / direction.double().norm()
    return activations.double() @ unit


def _combine(
    cells: Cells, weights: Float[Tensor, "n problems"]
) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, "n strata 2"]]:
    """Directions for problem weights, and the weighted class sizes (negative, positive)."""
    n_strata = int(cells.stratum.max()) + 1
    slot = 2 * cells.stratum + cells.is_positive.long()
    by_cell = weights[:, cells.problem]
    sizes = torch.zeros(len(weights), 2 * n_strata, dtype=torch.float64)
    sizes.index_add_(1, slot, by_cell * cells.counts)
    totals = sizes.view(-1, n_strata, 2)
    negative, positive = totals.unbind(dim=2)
    stratum_weight = negative * positive / (negative + positive).clamp(min=_TINY)
    share = stratum_weight / stratum_weight.sum(dim=1, keepdim=True)
    if cells.against == "all":
        share = share * negative / (negative + positive).clamp(min=_TINY)
    per_row = torch.stack([-share, share], dim=2) / totals.clamp(min=_TINY)
    coefficients = by_cell * per_row.view(len(weights), -1)[:, slot]
    return coefficients @ cells.sums, totals
