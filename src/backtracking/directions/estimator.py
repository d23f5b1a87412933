"""One estimator of directions, for every form of contrast.

It needs sums by problem, stratum and class only (`Cells`), so directions for thousands of resamples
or halves of the problems are a few matrix products. All sums are in float64.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.directions.forms import Contrast
from backtracking.records.rows.directions import Counts

_CHUNK = 512
_TINY = 1e-300


@dataclass(frozen=True)
class Estimate:
    """A direction and the rows that it rests on.

    Attributes:
        direction: the weighted difference of means, not normalised, in float64.
        counts: of these rows.
    """

    direction: Float[Tensor, " d_model"]
    counts: Counts


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


def estimate(contrast: Contrast) -> Estimate:
    """The contrast's direction, each class with equal weight within a stratum.

    A stratum's weight is the harmonic mean of its two class sizes, which has the least variance;
    strata that lack a class have weight 0 and are counted as dropped.

    Raises:
        ValueError: where no stratum holds both classes.
    """
    return estimate_cells(sum_cells(contrast))


def estimate_cells(cells: Cells) -> Estimate:
    """The same from its cells.

    Raises:
        ValueError: where no stratum holds both classes.
    """
    directions, totals = _combine(cells, torch.ones(1, cells.n_problems, dtype=torch.float64))
    used = totals[0, totals[0].min(dim=1).values > 0]
    if not len(used):
        n_positive, n = float(cells.counts[cells.is_positive].sum()), float(cells.counts.sum())
        found = f"{n_positive:g} positive rows of {n:g}"
        raise ValueError(f"Expected a stratum with both classes, found none ({found}).")
    negative, positive = (round(float(n)) for n in used.sum(dim=0))
    dropped = 1 - float(used.sum() / cells.counts.sum())
    return Estimate(directions[0], Counts(positive, negative, len(used), dropped))


def sum_cells(contrast: Contrast, n_problems: int | None = None) -> Cells:
    """Sums of the contrast's rows by problem, stratum and class.

    By default there are as many problems as the rows name; some may have no row here.
    """
    n_strata = int(contrast.stratum.max()) + 1
    key = (contrast.problem * n_strata + contrast.stratum) * 2 + contrast.is_positive.long()
    distinct, cell = key.unique(return_inverse=True)
    d_model = contrast.activations.shape[1]
    sums = torch.zeros(len(distinct), d_model, dtype=torch.float64)
    weight = None if contrast.weight is None else contrast.weight.double()
    for rows in torch.arange(len(key)).split(_CHUNK):
        values = contrast.activations[rows].double()
        if weight is not None:
            values = values * weight[rows, None]
        sums.index_add_(0, cell[rows], values)
    counts = torch.bincount(cell, weight, minlength=len(distinct)).double()
    stratum, is_positive = distinct // 2 % n_strata, distinct % 2 == 1
    problem = distinct // (2 * n_strata)
    n = int(problem.max()) + 1 if n_problems is None else n_problems
    return Cells(sums, counts, is_positive, stratum, problem, n, contrast.against)


def resample_directions(
    cells: Cells, weights: Float[np.ndarray, "n problems"]
) -> Float[np.ndarray, "n d_model"]:
    """The direction for each row of problem weights; NaN where no stratum holds both classes."""
    if weights.shape[1] != cells.n_problems:
        found = weights.shape[1]
        raise ValueError(f"Expected weights for {cells.n_problems} problems, found {found}.")
    chunks = torch.from_numpy(weights).double().split(_CHUNK)
    return torch.cat([_combine(cells, chunk)[0] for chunk in chunks]).numpy()


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


def shuffle_within(
    is_positive: Bool[Tensor, " rows"], stratum: Int[Tensor, " rows"], generator: torch.Generator
) -> Bool[Tensor, " rows"]:
    """The classes, permuted among the rows of each stratum: the null of every contrast."""
    order = torch.randperm(len(stratum), generator=generator)
    shuffled = torch.empty_like(is_positive)
    shuffled[stratum.argsort(stable=True)] = is_positive[order[stratum[order].argsort(stable=True)]]
    return shuffled


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


def _combine(
    cells: Cells, weights: Float[Tensor, "n problems"]
) -> tuple[Float[Tensor, "n d_model"], Float[Tensor, "n strata 2"]]:
    """Directions for problem weights, and the weighted class sizes (negative, positive)."""
    n_slots = 2 * (int(cells.stratum.max()) + 1)
    slot = 2 * cells.stratum + cells.is_positive.long()
    by_cell = weights.T.contiguous()[cells.problem]  # a row a cell: whole rows are moved
    sizes = torch.zeros(n_slots, len(weights), dtype=torch.float64)
    sizes.index_add_(0, slot, by_cell * cells.counts[:, None])
    totals = sizes.view(-1, 2, len(weights))
    negative, positive = totals.unbind(dim=1)
    stratum_weight = negative * positive / (negative + positive).clamp(min=_TINY)
    share = stratum_weight / stratum_weight.sum(dim=0)
    if cells.against == "all":
        share = share * negative / (negative + positive).clamp(min=_TINY)
    per_row = torch.stack([-share, share], dim=1) / totals.clamp(min=_TINY)
    coefficients = by_cell * per_row.view(n_slots, -1)[slot]
    return coefficients.T @ cells.sums, totals.permute(2, 0, 1)
