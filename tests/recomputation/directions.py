"""Matched directions of a model, from its own forward pass, and the cosine of two of them."""

from collections.abc import Iterator

import numpy as np
import torch
from recomputation.comparing import Compared
from recomputation.parsing import Decision
from recomputation.study import Study
from torch import Tensor

N_SETS = 40
"""Sets of as many random halves as the study has: their spread is the error of its cosine."""


def contrast_rows(
    study: Study, role: str, layer: int, window: list[int]
) -> tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]:
    """Train rows of both classes with class, stratum and problem of each."""
    chosen, is_positive = study.contrasted("train")
    totals = np.array([one.total for one in chosen])
    n = study.params["directions"]["n_strata"]
    stratum = np.searchsorted(np.quantile(totals, np.arange(1, n) / n), totals, side="right")
    values = _rows(study, role, layer, chosen, window)
    return values, np.array(is_positive), stratum, np.array([study.problem(o) for o in chosen])


def matched(
    values: Tensor, is_positive: np.ndarray, stratum: np.ndarray, times: np.ndarray
) -> Tensor:
    """Difference of class means within strata, weighed by the harmonic mean of the class sizes.

    Each row counts so many times. The direction is NaN where no stratum holds both classes.
    """
    total, weights = torch.zeros(values.shape[1], dtype=torch.float64), 0.0
    for one in np.unique(stratum):
        sides = [times * ((stratum == one) & (is_positive == side)) for side in (True, False)]
        n, m = (float(side.sum()) for side in sides)
        if n and m:
            positive, negative = (torch.from_numpy(side / side.sum()) @ values for side in sides)
            weight = n * m / (n + m)
            total, weights = total + weight * (positive - negative), weights + weight
    return total / weights if weights else total * np.nan


def direction(study: Study, role: str, layer: int, window: list[int]) -> Tensor:
    """The matched direction of a model, from its own forward pass."""
    values, is_positive, stratum, _ = contrast_rows(study, role, layer, window)
    return matched(values, is_positive, stratum, np.ones(len(stratum)))


def cosine(study: Study) -> Iterator[Compared]:
    """Cosine of the pair's two directions at the chosen place, raw and corrected by halves."""
    choice = study.table("steer/choice")
    layer, window = choice["layer"], choice["window"]
    text = f"{window[0]}:{window[1]}"
    key = (f"{study.base}-{study.studied}", "matched", layer, text)
    (row,) = (
        one
        for one in study.table("directions/cosines")
        if (one["pair"], one["form"], one["layer"], one["window"]) == key
    )
    pair = [contrast_rows(study, role, layer, window) for role in (study.base, study.studied)]
    whole = [matched(*one[:3], np.ones(len(one[2]))) for one in pair]
    raw = float(torch.cosine_similarity(*whole, dim=0))
    yield Compared("cosine, raw", row["raw"], raw, 1e-5)
    train = sorted({trace.problem for trace in study.traces if trace.split == "train"})
    rng, n = np.random.default_rng(654), study.params["directions"]["n_splits"]
    sets = np.array([_corrected(pair, train, n, rng) for _ in range(N_SETS)])
    defined = sets[np.isfinite(sets)]
    value = float(defined.mean()) if 2 * len(defined) > N_SETS else np.nan
    spread = 4 * float(defined.std()) * (1 + 1 / N_SETS) ** 0.5 if len(defined) else 0.0
    yield Compared("cosine, corrected", row["cosine"], value, spread)


def _corrected(
    pair: list[tuple[Tensor, np.ndarray, np.ndarray, np.ndarray]],
    train: list[str],
    n_splits: int,
    rng: np.random.Generator,
) -> float:
    across, first, second = np.zeros((3, n_splits))
    for split in range(n_splits):
        half = rng.permutation(train)[: len(train) // 2]
        (a, b), (c, d) = (
            [matched(*one[:3], np.isin(one[3], half) == side) for side in (True, False)]
            for one in pair
        )
        across[split] = float(a @ d + b @ c) / 2
        first[split], second[split] = float(a @ b), float(c @ d)
    if min(first.mean(), second.mean()) <= 0:
        return np.nan
    return float(across.mean() / np.sqrt(first.mean() * second.mean()))


def _rows(study: Study, role: str, layer: int, chosen: list[Decision], window: list[int]) -> Tensor:
    """Mean of the residual stream in a window of offsets from the deciding token."""
    found = [
        study.resid(role)[one.trace][layer, one.position + window[0] : one.position + window[1] + 1]
        for one in chosen
    ]
    return torch.stack([one.mean(dim=0) for one in found])
