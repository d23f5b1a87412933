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


@dataclass(frozen=True)
class Reference:
    """What probes of one model, anchor and target are compared with.

    Attributes:
        names: the best baseline at each offset, chosen on dev.
        baseline: its AUROC, by pairs.
        posterior: AUROC of the exact posterior on the rows where it is known.
    """

    names: list[str]
    baseline: Mapping[str, Replicates]
    posterior: Replicates


def measure(
    points: DecisionPoints,
    store_by_role: Mapping[str, ActivationStore],
    embedding_by_role: Mapping[str, Tensor],
    probes: Mapping[Place, Probes],
    baselines: Mapping[Place, Probes],
    bootstrap: Bootstrap,
) -> tuple[list[dict[str, Any]], list[Ceiling]]:
    """One row per cell and kind of pairs, and the excess over the posterior, on test problems."""
    rows, ceilings = [], []
    for anchor in points.anchors:
        asked = {task.target: ask(points, anchor, task, bootstrap) for task in points.tasks}
        posterior = {target: _posterior(one) for target, one in asked.items()}
        for role, store in store_by_role.items():
            scores = _score_baselines(points, anchor, role, embedding_by_role[role], baselines, asked)
            reference = {
                target: Reference(
                    names,
                    {pairs: one.replicates(its, one.used[pairs]) for pairs in PAIRS},
                    posterior[target],
                )
                for (target, one), (names, its) in zip(asked.items(), scores, strict=True)
            }
            for layer in store.layers:
                for target, one in asked.items():
                    place = Place(role, anchor.name, target, layer)
                    its = _score(points, store, layer, anchor, one, probes[place])
                    rows += _tabulate(place, anchor, one, its, probes[place], reference[target], bootstrap)
                    ceilings.append(_ceiling(place, anchor, one, its, posterior[target]))
    return rows, ceilings


def require_no_leak(ceilings: list[Ceiling], level: float) -> dict[str, Any]:
    """The largest excess of a probe over the exact posterior, with the band over the whole study.

    Raises:
        UserError: naming the cell whose lower band is above 0: it reads what its prefix does not
            hold.
    """
    excess = concatenate([one.excess for one in ceilings])
    names = [
        f"role {one.role}, target {one.target}, layer {one.layer}, offset {offset} from {one.anchor}"
        for one in ceilings
        for offset in one.offsets.tolist()
    ]
    low = np.nan_to_num(band(excess, level).band_low, nan=-np.inf)
    worst = int(low.argmax())
    if low[worst] > 0:
        raise UserError(
            f"A probe beats the exact posterior, which knows all that a prefix holds: AUROC "
            f"{excess.value[worst]:+.3f}, at least {low[worst]:+.3f} over all cells, at "
            f"{names[worst]}.",
            "Look for a leak: features of a later token, test problems in training, or labels "
            "that were not made from these traces.",
        )
    return {"n_cells": len(names), "n_compared": int(np.isfinite(low).sum()), "level": level}
