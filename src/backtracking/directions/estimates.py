"""Estimated directions with all that their norms and cosines are judged by.

Norms and cosines are corrected for noise by disjoint halves of the problems, have intervals by
problem, and stand beside what shuffled labels give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backtracking.directions import estimator
from backtracking.directions.contrasts import Placed
from backtracking.directions.forms import Contrast
from backtracking.directions.vectors import project, without_span
from backtracking.statistics import auroc, corrected, nulls
from backtracking.statistics.jackknife import LOG, jackknife_interval, leave_one_out

LeftOut = Float[np.ndarray, "problems n_splits 2 d_model"]
Null = tuple[Float[np.ndarray, "n_null d_model"], Float[np.ndarray, "n_null n_splits 2 d_model"]]


@dataclass(frozen=True)
class Resamples:
    """What all directions of a study share, so that comparisons are paired.

    Attributes:
        splits: halves of the train problems.
        n_null: shuffles of the labels within strata.
        seed: of the shuffles; the same rows are shuffled alike in every model and layer.
    """

    splits: Bool[np.ndarray, "n_splits problems"]
    n_null: int
    seed: int

    @property
    def n_problems(self) -> int:
        """Number of train problems."""
        return self.splits.shape[1]


@dataclass(frozen=True)
class Estimated:
    """One direction with the halves that its noise is told from.

    Attributes:
        direction: as `directions.estimate` gives it.
        halves: directions of both halves of every split.
        counts: rows and strata that it rests on.
        left_out: the halves without each problem in turn; None where it has none.
        null: directions of shuffled labels, and their halves; None where it has none.
        dev: the contrast on dev problems; None where it is not scored.
        n_problems: train problems.
    """

    direction: Float[Tensor, " d_model"]
    halves: Float[np.ndarray, "n_splits 2 d_model"]
    counts: Mapping[str, Any]
    left_out: LeftOut | None
    null: Null | None
    dev: Contrast | None
    n_problems: int

    def without(self, rows: Float[Tensor, "k d_model"]) -> "Estimated":
        """The same with the span of the rows projected out of all that it holds."""

        def project(values: np.ndarray) -> np.ndarray:
            return without_span(torch.from_numpy(values), rows).numpy()

        return replace(
            self,
            direction=without_span(self.direction, rows),
            halves=project(self.halves),
            left_out=None if self.left_out is None else project(self.left_out),
            null=None if self.null is None else (project(self.null[0]), project(self.null[1])),
        )

    def measure(self, level: float = 0.95) -> dict[str, Any]:
        """Norm, corrected norm with its interval and null, split-half cosine, and dev AUROC.

        The split-half cosine has no interval: it measures noise, and has no truth to hold.

        `norm_null` is the 95th percentile of the corrected norms under shuffled labels, one that
        is not defined counted as 0, and `norm_p` the share of these that reach the true one.
        """
        norm = corrected.noise_corrected_norm(self.halves)
        reliability = corrected.split_half_cosine(self.halves)
        row: dict[str, Any] = {
            "norm": float(self.direction.norm()),
            "norm_corrected": norm,
            "split_half_cosine": reliability,
            "dev_auroc": self._dev_auroc(),
            **self.counts,
        }
        if self.left_out is not None:
            norms = corrected.noise_corrected_norms(self.left_out)
            found = jackknife_interval(norm, norms, level, LOG)
            row |= {"norm_low": found.low, "norm_high": found.high}
        if self.null is not None:
            null = np.nan_to_num(corrected.noise_corrected_norms(self.null[1]))
            row["norm_null"] = float(np.quantile(null, level))
            row["norm_p"] = None if norm is None else nulls.random_direction_p(norm, null)
        return row

    def _dev_auroc(self) -> float | None:
        if self.dev is None:
            return None
        scores = project(self.dev.activations, self.direction).numpy()
        return auroc.auroc(scores, self.dev.is_positive.numpy(), self.dev.stratum.numpy())


def estimate(
    placed: Placed, resamples: Resamples, *, with_interval: bool, with_null: bool
) -> Estimated:
    """The direction of a contrast.

    Args:
        placed: the contrast.
        resamples: halves and shuffles.
        with_interval: whether the halves are formed without each problem in turn.
        with_null: whether the labels are shuffled.
    """
    found = estimator.estimate(placed.train)
    cells = estimator.sum_cells(placed.train, resamples.n_problems)
    counts = asdict(found)
    del counts["direction"]
    weights = leave_one_out(resamples.n_problems)
    return Estimated(
        direction=found.direction,
        halves=estimator.split_half_directions(cells, resamples.splits)[0],
        counts=counts,
        left_out=estimator.split_half_directions(cells, resamples.splits, weights)
        if with_interval
        else None,
        null=_null(placed.train, resamples) if with_null else None,
        dev=placed.dev,
        n_problems=resamples.n_problems,
    )


def select(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layer and window of each model's matched direction that separate best on dev."""
    selection: dict[str, Any] = {}
    for row in rows:
        if row["form"] != "matched" or row["dev_auroc"] is None:
            continue
        best = selection.get(row["role"])
        if best is None or row["dev_auroc"] > best["dev_auroc"]:
            selection[row["role"]] = {key: row[key] for key in ("layer", "window", "dev_auroc")}
    return selection


def _null(contrast: Contrast, resamples: Resamples) -> Null:
    generator = torch.Generator().manual_seed(resamples.seed)
    labels = torch.stack(
        [
            estimator.shuffle_within(contrast.is_positive, contrast.stratum, generator)
            for _ in range(resamples.n_null)
        ]
    )
    both = np.stack([resamples.splits, ~resamples.splits], axis=1)
    weights = np.concatenate(
        [np.ones((1, resamples.n_problems)), both.reshape(-1, resamples.n_problems)]
    )
    found = estimator.shuffled_directions(contrast, labels, weights)
    return found[:, 0], found[:, 1:].reshape(len(labels), *both.shape[:2], -1)
