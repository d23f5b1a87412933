"""Linear probes on decision points: how they are fitted, chosen and scored.

A probe is a cell of a grid: features of every decision at one place. It is fitted on train problems
with every penalty, of which the one with the least log loss on dev problems is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.probing import logistic
from backtracking.probing.points import DecisionPoints
from backtracking.probing.targets import Task
from backtracking.statistics.auroc import auroc
from lifeboat.stage.errors import UserError

MAX_PASSES = 5000
"""Passes over the rows after which a fit counts as one that does not converge."""


DIGITS = 4
"""Decimals of an AUROC: two of a thousand rows that change places move it by some 1e-6."""


@dataclass(frozen=True)
class Fitting:
    """How probes are fitted.

    Attributes:
        penalties: L2 penalties on standardised features, relative to the mean log loss.
        tolerance: gradient at which a fit has converged.
    """

    penalties: tuple[float, ...]
    tolerance: float

    def __post_init__(self) -> None:
        if not self.penalties or min(self.penalties) <= 0 or self.tolerance <= 0:
            raise ValueError("penalties and tolerance must be above 0, and penalties not empty.")

    @property
    def search(self) -> logistic.Search:
        """When the search for a fit ends."""
        return logistic.Search(self.tolerance, MAX_PASSES)


@dataclass(frozen=True)
class Series:
    """A row of the grid: one target, told from one source at all offsets.

    Attributes:
        role: whose activations or embeddings they are; '' where no model has a part in it.
        target: its name.
        source: a layer, or the name of a baseline.
    """

    role: str
    target: str
    source: int | str


@dataclass(frozen=True)
class Probes:
    """The chosen probe of each cell.

    Attributes:
        weight, intercept: of the log-odds; 0 where a class is lacking.
        penalty: chosen on dev; NaN where a class is lacking.
        dev_auroc: there; NaN where undefined.
    """

    weight: Float[Tensor, "cells features"]
    intercept: Float[Tensor, " cells"]
    penalty: Float[np.ndarray, " cells"]
    dev_auroc: Float[np.ndarray, " cells"]

    @classmethod
    def join(cls, parts: Sequence["Probes"]) -> "Probes":
        """The cells of several, one after the other."""
        return cls(
            torch.cat([part.weight for part in parts]),
            torch.cat([part.intercept for part in parts]),
            np.concatenate([part.penalty for part in parts]),
            np.concatenate([part.dev_auroc for part in parts]),
        )

    def __getitem__(self, cells: slice) -> "Probes":
        """The chosen cells."""
        return Probes(
            self.weight[cells], self.intercept[cells], self.penalty[cells], self.dev_auroc[cells]
        )

    def score(
        self, features: Float[Tensor, "cells rows features"]
    ) -> Float[np.ndarray, "cells rows"]:
        """Log-odds of the positive class; NaN where there is no probe."""
        scores = (features.double() @ self.weight[:, :, None])[..., 0] + self.intercept[:, None]
        return np.where(np.isfinite(self.penalty)[:, None], scores.numpy(), np.nan)


def known_rows(points: DecisionPoints) -> Int[np.ndarray, " rows"]:
    """Decisions of train and dev problems, on which all is fitted and chosen."""
    return np.flatnonzero(np.isin(points.decisions.split, ("train", "dev")))


def fit_task(
    points: DecisionPoints,
    task: Task,
    features: Float[Tensor, "cells rows features"],
    present: Bool[np.ndarray, "cells rows"],
    fitting: Fitting,
) -> Probes:
    """Probes of a target, from features of `known_rows`."""
    rows = known_rows(points)
    asked = np.isin(task.rows, rows)
    place = np.searchsorted(rows, task.rows[asked])
    is_train = points.is_train[task.rows[asked]]
    return fit_probes(
        features[:, place], present[:, place], task.is_positive[asked], is_train, fitting
    )


def fit_probes(
    features: Float[Tensor, "cells rows features"],
    present: Bool[np.ndarray, "cells rows"],
    is_positive: Bool[np.ndarray, " rows"],
    is_train: Bool[np.ndarray, " rows"],
    fitting: Fitting,
) -> Probes:
    """One probe per cell, fitted on its train rows and chosen on the others, the dev rows.

    Args:
        features: of every train and dev row; finite also where a cell has no such row.
        present: rows that each cell has.
        is_positive: class of each row.
        is_train: whether the row's problem is a train problem; else it is a dev problem.
        fitting: penalties and tolerance.

    Raises:
        UserError: where a fit has not converged.
    """
    cells, _, width = features.shape
    sides = [present[:, is_train & (is_positive == side)].any(axis=1) for side in (True, False)]
    fine = np.flatnonzero(sides[0] & sides[1])
    weight = torch.zeros(cells, width, dtype=torch.float64)
    intercept = torch.zeros(cells, dtype=torch.float64)
    penalty, dev_auroc = np.full((2, cells), np.nan)
    if not len(fine):
        return Probes(weight, intercept, penalty, dev_auroc)
    features, present = features[fine], present[fine]
    fits = _fit_paths(features[:, is_train], present[:, is_train], is_positive[is_train], fitting)
    scores = fits.score(features[:, ~is_train]).numpy()
    best = _least_loss(scores, present[:, ~is_train], is_positive[~is_train])
    weight[fine] = fits.weight[np.arange(len(fine)), :, best]
    intercept[fine] = fits.intercept[np.arange(len(fine)), best]
    penalty[fine] = np.array(fitting.penalties)[best]
    for number, cell in enumerate(fine):
        rows = present[number, ~is_train]
        one = auroc(scores[number, rows, best[number]], is_positive[~is_train][rows])
        dev_auroc[cell] = np.nan if one is None else one
    return Probes(weight, intercept, penalty, dev_auroc)


def _fit_paths(
    features: Tensor, present: np.ndarray, is_positive: np.ndarray, fitting: Fitting
) -> logistic.Fits:
    """All penalties of all cells."""
    shape = (*present.shape, len(fitting.penalties))
    labels = torch.from_numpy(is_positive.astype(np.float64))[None, :, None].expand(shape)
    weights = torch.from_numpy(present.astype(np.float64))[:, :, None].expand(shape)
    penalties = torch.tensor(fitting.penalties, dtype=torch.float64)
    found = logistic.fit(features, labels, weights, penalties, fitting.search)
    largest = float(found.gradient.max())
    if not largest <= fitting.tolerance:
        raise UserError(
            f"Expected probes with a gradient of at most {fitting.tolerance:g}, found "
            f"{largest:g} after {found.n_passes} passes.",
            "Raise the least of `probe.fitting.penalties`.",
        )
    return found


def _least_loss(
    scores: Float[np.ndarray, "cells rows penalties"],
    present: Bool[np.ndarray, "cells rows"],
    is_positive: Bool[np.ndarray, " rows"],
) -> Int[np.ndarray, " cells"]:
    """The penalty of each cell with the least log loss, the last of equals."""
    loss = np.logaddexp(0.0, np.where(is_positive[:, None], -scores, scores))
    total = (loss * present[:, :, None]).sum(axis=1)
    return total.shape[1] - 1 - total[:, ::-1].argmin(axis=1)
