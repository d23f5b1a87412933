"""Probes on test problems: AUROC, the difference to the best baseline, and to the ceiling."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.probing.grid import (
    Place,
    activations,
    best_baselines,
    embedding_features,
    owner_of,
    shared_features,
)
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Probes, Task
from backtracking.statistics.bands import Replicates, band, resample_aurocs
from backtracking.statistics.bootstrap import Bootstrap, resample_problems
from backtracking.statistics.jackknife import LOGIT

PAIRS = ("all", "absent")
"""Which test decisions: all, or those whose comparison stands in no trace of a train problem."""


@dataclass(frozen=True)
class Asked:
    """The test decisions of a target, at the offsets of an anchor.

    Attributes:
        target: the target.
        rows: their numbers.
        is_positive: the answers.
        problem: number of each row's problem among the test problems.
        used: rows that each offset has, by pairs.
        posterior: exact posterior under the generator; NaN where it is not known.
        has_ceiling: rows of each offset where it is known what no probe can rank better: the
            posterior, and for `backtracks` the writer's own probability, which an earlier prefix
            does not exceed.
        ceiling: its AUROC there.
        weights: bootstrap resamples of the test problems.
        level: nominal coverage of bands.
    """

    target: str
    rows: Int[np.ndarray, " rows"]
    is_positive: Bool[np.ndarray, " rows"]
    problem: Int[np.ndarray, " rows"]
    used: Mapping[str, Bool[np.ndarray, "offsets rows"]]
    posterior: Float[np.ndarray, "offsets rows"]
    has_ceiling: Bool[np.ndarray, "offsets rows"]
    ceiling: Replicates
    weights: Float[np.ndarray, "n_resamples problems"]
    level: float

    def aurocs(
        self, scores: Float[np.ndarray, "offsets rows"], used: Bool[np.ndarray, "offsets rows"]
    ) -> Replicates:
        """AUROC of scores at every offset over the rows that it uses."""
        return resample_aurocs(scores, self.is_positive, self.problem, used, self.weights)

    def excess(self, scores: Float[np.ndarray, "offsets rows"]) -> Replicates:
        """AUROC of scores minus that of the ceiling, on the rows where the ceiling is known."""
        return self.aurocs(scores, self.has_ceiling) - self.ceiling


@dataclass(frozen=True)
class Reference:
    """What the probes of one model, anchor and target are compared with.

    Attributes:
        names: the best baseline at each offset, chosen on dev.
        baseline: its AUROC, by pairs.
        posterior: AUROC of the exact posterior.
    """

    names: Sequence[str]
    baseline: Mapping[str, Replicates]
    posterior: Float[np.ndarray, " offsets"]


@dataclass(frozen=True)
class Excess:
    """How far the probes of one place are above the ceiling, at every offset."""

    place: Place
    offsets: Int[np.ndarray, " offsets"]
    excess: Replicates


def ask(
    points: DecisionPoints,
    anchor: Anchor,
    task: Task,
    p_writer: Float[np.ndarray, " n"],
    bootstrap: Bootstrap,
) -> Asked:
    """The test decisions of a target.

    Args:
        points: all decisions.
        anchor: where offsets are counted from.
        task: the target.
        p_writer: P(backtracking | prefix up to the decision) under the writer; NaN unknown.
        bootstrap: resamples.
    """
    moments = points.moments
    is_test = moments.split[task.rows] == "test"
    rows = task.rows[is_test]
    n_problems = int(moments.problem_number[moments.split == "test"].max(initial=0)) + 1
    present = anchor.present[:, rows]
    posterior = anchor.posterior_by_target[task.target][:, rows]
    ceiling = posterior
    if task.target == "backtracks":
        before = anchor.position[rows] + anchor.offsets[:, None] < moments.end[rows]
        ceiling = np.where(before, p_writer[rows], np.nan)
    weights = resample_problems(
        n_problems, bootstrap.n_resamples, np.random.default_rng(bootstrap.seed)
    )
    is_positive, problem = task.is_positive[is_test], moments.problem_number[rows]
    has_ceiling = present & np.isfinite(ceiling)
    return Asked(
        target=task.target,
        rows=rows,
        is_positive=is_positive,
        problem=problem,
        used={"all": present, "absent": present & points.is_absent[rows]},
        posterior=posterior,
        has_ceiling=has_ceiling,
        ceiling=resample_aurocs(ceiling, is_positive, problem, has_ceiling, weights),
        weights=weights,
        level=bootstrap.level,
    )


def measure(
    points: DecisionPoints,
    store_by_role: Mapping[str, ActivationStore],
    embedding_by_role: Mapping[str, Tensor],
    p_writer: Float[np.ndarray, " n"],
    fitted: Mapping[Place, Probes],
    bootstrap: Bootstrap,
    n_threads: int = 1,
) -> tuple[list[dict[str, Any]], list[Excess]]:
    """One row per cell and kind of pairs, and what each place has beyond its ceiling.

    Args:
        points: all decisions.
        store_by_role, embedding_by_role: of each model.
        p_writer: as in `ask`.
        fitted: probes and baselines by place.
        bootstrap: resamples.
        n_threads: models, anchors and targets at once.
    """
    features_by_anchor = {one.name: shared_features(points, one) for one in points.anchors}
    asked = [
        (anchor, ask(points, anchor, task, p_writer, bootstrap))
        for anchor, task in product(points.anchors, points.tasks)
    ]
    jobs = [(*one, role) for one, role in product(asked, store_by_role)]

    def measure_one(
        job: tuple[Anchor, Asked, str],
    ) -> tuple[list[dict[str, Any]], list[Excess]]:
        anchor, asked, role = job
        features = features_by_anchor[anchor.name] | {
            "embedding": embedding_features(points, anchor, embedding_by_role[role])
        }
        return _measure_role(points, store_by_role[role], role, anchor, asked, features, fitted)

    with ThreadPoolExecutor(n_threads) as pool:
        found = list(pool.map(measure_one, jobs))
    return [row for rows, _ in found for row in rows], [one for _, its in found for one in its]


def _measure_role(
    points: DecisionPoints,
    store: ActivationStore,
    role: str,
    anchor: Anchor,
    asked: Asked,
    features: Mapping[str, Tensor],
    fitted: Mapping[Place, Probes],
) -> tuple[list[dict[str, Any]], list[Excess]]:
    """All layers of a model, beside what they are compared with."""
    names = best_baselines(fitted, role, anchor.name, asked.target)
    scores = np.zeros((len(names), len(asked.rows)))
    for name in np.unique(names):
        place = Place(owner_of(role, name), anchor.name, asked.target, str(name))
        one = features[name][:, torch.from_numpy(asked.rows)].expand(len(names), -1, -1)
        scores[names == name] = fitted[place].score(one)[names == name]
    known = asked.used["all"] & np.isfinite(asked.posterior)
    reference = Reference(
        names.tolist(),
        {pairs: asked.aurocs(scores, asked.used[pairs]) for pairs in PAIRS},
        asked.aurocs(asked.posterior, known).value,
    )
    rows: list[dict[str, Any]] = []
    excesses: list[Excess] = []
    for layer in store.layers:
        place = Place(role, anchor.name, asked.target, layer)
        scores = score_layer(points, store, anchor, asked.rows, layer, fitted[place])
        rows += _tabulate(place, anchor, asked, scores, reference)
        excesses.append(Excess(place, anchor.offsets, asked.excess(scores)))
    return rows, excesses


def score_layer(
    points: DecisionPoints,
    store: ActivationStore,
    anchor: Anchor,
    rows: Int[np.ndarray, " rows"],
    layer: int,
    probes: Probes,
) -> Float[np.ndarray, "offsets rows"]:
    """Log-odds that the probes of a layer give the chosen decisions, at every offset."""
    return np.concatenate(
        [
            probes[chosen].score(values)
            for chosen, values, _ in activations(store, layer, points, anchor, rows)
        ]
    )


def _tabulate(
    place: Place,
    anchor: Anchor,
    asked: Asked,
    scores: Float[np.ndarray, "offsets rows"],
    reference: Reference,
) -> list[dict[str, Any]]:
    """Rows of one place; bands are simultaneous over its offsets."""
    found, level = [], asked.level
    for pairs in PAIRS:
        used = asked.used[pairs]
        auroc, baseline = asked.aurocs(scores, used), reference.baseline[pairs]
        difference = auroc - baseline
        low, high = auroc.ends(level, LOGIT)
        difference_low, difference_high = difference.ends(level)
        together = band(difference, level)
        for number, offset in enumerate(anchor.offsets.tolist()):
            values = {
                "auroc": auroc.value[number],
                "low": low[number],
                "high": high[number],
                "baseline_auroc": baseline.value[number],
                "difference": difference.value[number],
                "difference_low": difference_low[number],
                "difference_high": difference_high[number],
                "band_low": together.low[number],
                "band_high": together.high[number],
                "posterior": reference.posterior[number] if pairs == "all" else np.nan,
            }
            found.append(
                {"role": place.role, "anchor": place.anchor, "target": place.target}
                | {"pairs": pairs, "layer": place.source, "offset": offset}
                | {"baseline": reference.names[number]}
                | {name: float(v) if np.isfinite(v) else None for name, v in values.items()}
                | {"n_rows": int(used[number].sum()), "n": int(auroc.n[number])}
            )
    return found
