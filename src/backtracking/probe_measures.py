"""Probes on test problems: AUROC, the difference to the best baseline, the ceiling, the alarm."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.bands import Replicates, band, concatenate, earliest, resample_aurocs
from backtracking.decision_points import Anchor, DecisionPoints
from backtracking.errors import UserError
from backtracking.extraction.reader import ActivationStore
from backtracking.probe_grid import Place, activations, baseline_features, best_baselines
from backtracking.probes import Probes, Task
from backtracking.statistics import Bootstrap, resample_problems

PAIRS = ("all", "absent")
"""Which test decisions: all, or those whose comparison no train problem has."""


@dataclass(frozen=True)
class Asked:
    """The test decisions of a target, at the offsets of an anchor.

    Attributes:
        rows: their numbers.
        is_positive: the answers.
        problem: number of each row's problem among the test problems.
        used: rows that each offset has, by pairs.
        posterior: exact posterior; NaN where it is not known.
        weights: bootstrap resamples of the problems.
    """

    rows: Int[np.ndarray, " rows"]
    is_positive: Bool[np.ndarray, " rows"]
    problem: Int[np.ndarray, " rows"]
    used: Mapping[str, Bool[np.ndarray, "offsets rows"]]
    posterior: Float[np.ndarray, "offsets rows"]
    weights: Float[np.ndarray, "n_resamples problems"]

    def replicates(
        self, scores: Float[np.ndarray, "offsets rows"], used: Bool[np.ndarray, "offsets rows"]
    ) -> Replicates:
        """AUROC of scores at every offset."""
        return resample_aurocs(scores, self.is_positive, self.problem, used, self.weights)


@dataclass(frozen=True)
class Ceiling:
    """What probes have beyond the exact posterior on the same rows, by place."""

    role: str
    anchor: str
    target: str
    layer: int
    offsets: Int[np.ndarray, " offsets"]
    excess: Replicates


def ask(points: DecisionPoints, anchor: Anchor, task: Task, bootstrap: Bootstrap) -> Asked:
    """The test decisions of a target."""
    moments = points.moments
    is_test = moments.split[task.rows] == "test"
    rows = task.rows[is_test]
    n_problems = int(moments.problem_number[moments.split == "test"].max(initial=0)) + 1
    present = anchor.present[:, rows]
    return Asked(
        rows=rows,
        is_positive=task.is_positive[is_test],
        problem=moments.problem_number[rows],
        used={"all": present, "absent": present & points.is_absent[rows]},
        posterior=anchor.posterior_by_target[task.target][:, rows],
        weights=resample_problems(
            n_problems, bootstrap.n_resamples, np.random.default_rng(bootstrap.seed)
        ),
    )
