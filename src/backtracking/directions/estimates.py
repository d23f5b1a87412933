"""Estimated directions with all that their norms and cosines are judged by.

Norms and cosines are corrected for noise by disjoint halves of the problems, have intervals by
problem, and stand beside what shuffled labels give.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backtracking.directions import estimator
from backtracking.directions.contrasts import Placed
from backtracking.directions.forms import Contrast
from backtracking.directions.vectors import project, without_span
from backtracking.records.intervals import Interval
from backtracking.records.places import Place
from backtracking.records.rows.directions import Best, Counts, Strength
from backtracking.statistics import corrected, nulls
from backtracking.statistics.jackknife import (
    LOG,
    auroc_interval,
    jackknife_interval,
    leave_one_out,
)

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
    counts: Counts
    left_out: LeftOut | None
    null: Null | None
    dev: Contrast | None
    n_problems: int

    def without(self, rows: Float[Tensor, "k d_model"]) -> "Estimated":
        """The same with the span of the rows projected out of all that it holds."""

        def left(values: np.ndarray) -> np.ndarray:
            return without_span(torch.from_numpy(values), rows).numpy()

        return replace(
            self,
            direction=without_span(self.direction, rows),
            halves=left(self.halves),
            left_out=None if self.left_out is None else left(self.left_out),
            null=None if self.null is None else (left(self.null[0]), left(self.null[1])),
        )

    def measure(self, place: Place, mean_residual_norm: float, level: float = 0.95) -> Strength:
        """What the direction of a place is worth, beside what shuffled labels give.

        A corrected norm that is not defined counts as 0 among those of shuffled labels.
        """
        on_dev = self._on_dev(level)
        norm = corrected.noise_corrected_norm(self.halves)
        found = Interval(norm, None, None, self.n_problems)
        if self.left_out is not None:
            norms = corrected.noise_corrected_norms(self.left_out)
            found = jackknife_interval(norm, norms, level, LOG)
        bound = p = None
        if self.null is not None:
            null = np.nan_to_num(corrected.noise_corrected_norms(self.null[1]))
            bound = float(np.quantile(null, level))
            p = None if norm is None else nulls.random_direction_p(norm, null)
        return Strength(
            role=place.role,
            form=place.form,
            state=place.state,
            window=place.window_text,
            layer=place.layer,
            norm=float(self.direction.norm()),
            norm_corrected=norm,
            norm_low=found.low,
            norm_high=found.high,
            norm_null=bound,
            norm_p=p,
            split_half_cosine=corrected.split_half_cosine(self.halves),
            dev_auroc=on_dev.value,
            counts=self.counts,
            mean_residual_norm=mean_residual_norm,
            dev_low=on_dev.low,
            dev_high=on_dev.high,
        )

    def _on_dev(self, level: float) -> Interval:
        """AUROC within strata of the projection on dev problems."""
        if self.dev is None or not len(self.dev.problem):
            return Interval(None, None, None, 0)
        scores = project(self.dev.activations, self.direction).numpy()
        problems = [str(number) for number in self.dev.problem.tolist()]
        of_class, stratum = self.dev.is_positive.numpy(), self.dev.stratum.numpy()
        return auroc_interval(scores, of_class, problems, level, stratum)


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
    cells = estimator.sum_cells(placed.train, resamples.n_problems)
    found = estimator.estimate_cells(cells)
    weights = leave_one_out(resamples.n_problems)
    return Estimated(
        direction=found.direction,
        halves=estimator.split_half_directions(cells, resamples.splits)[0],
        counts=found.counts,
        left_out=estimator.split_half_directions(cells, resamples.splits, weights)
        if with_interval
        else None,
        null=_null(placed.train, resamples) if with_null else None,
        dev=placed.dev,
        n_problems=resamples.n_problems,
    )


def select(rows: Sequence[Strength]) -> dict[str, Best]:
    """The layer and window of each model's matched direction that separate best on dev."""
    found: dict[str, Best] = {}
    for row in rows:
        if row.form == "matched" and row.dev_auroc is not None:
            one = Best(row.layer, row.window, row.dev_auroc)
            found[row.role] = max(found.get(row.role, one), one, key=lambda best: best.dev_auroc)
    return found


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
