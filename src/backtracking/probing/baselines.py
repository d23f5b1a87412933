"""What is told without activations: features, their probes, and the best of them on dev."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from backtracking.probing.features import one_hot, position_features
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Fitting, Probes, Series, fit_task, known_rows
from backtracking.records.rows.probe import Baseline
from backtracking.statistics.corrected import or_none

BASELINES = ("position", "words", "history", "token", "embedding", "together")
"""Position; one-hot words of the deciding sentence; label history; one-hot token at the offset; its
embedding; all but the embedding at once."""

_AT_ONCE = ("position", "words", "history")
"""Those whose features are the same at every offset."""


def baseline_jobs(
    points: DecisionPoints,
    embedding_by_role: Mapping[str, Float[Tensor, "d_vocab d_model"]],
    fitting: Fitting,
) -> list[Callable[[], list[tuple[Series, Probes]]]]:
    """Jobs that fit every baseline; those that no model has a part in have role ''."""
    found = []
    for anchor in points.anchors:
        its = [("", name, None) for name in BASELINES if name != "embedding"]
        its += [(role, "embedding", one) for role, one in embedding_by_role.items()]
        found += [partial(fit_baseline, points, anchor.name, *one, fitting) for one in its]
    return found


def fit_baseline(
    points: DecisionPoints,
    anchor_name: str,
    role: str,
    name: str,
    embedding: Float[Tensor, "d_vocab d_model"] | None,
    fitting: Fitting,
) -> list[tuple[Series, Probes]]:
    """The chosen probes of one baseline, one a target."""
    anchor, rows = points.anchor(anchor_name), known_rows(points)
    features = baseline_features(points, anchor, name, rows, embedding)
    present = anchor.present[:, rows]
    if name in _AT_ONCE:
        present = np.ones((1, len(rows)), dtype=bool)
    times = len(anchor.offsets) // len(features)
    return [
        (
            Series(role, anchor_name, task.target, name),
            Probes.join([fit_task(points, task, features, present, fitting)] * times),
        )
        for task in points.tasks
    ]


def baseline_features(
    points: DecisionPoints,
    anchor: Anchor,
    name: str,
    rows: Int[np.ndarray, " rows"],
    embedding: Float[Tensor, "d_vocab d_model"] | None = None,
) -> Float[Tensor, "cells rows columns"]:
    """A baseline's features of the chosen decisions; categories and cuts are those of train rows.

    One cell for each offset, or one in all where the features are the same at every offset.
    """
    if embedding is not None:
        ids = torch.from_numpy(points.tokens_by_anchor[anchor.name][rows].T)
        return embedding.float()[ids.clamp(min=0)] * (ids >= 0)[..., None]
    if name in _AT_ONCE:
        return torch.from_numpy(_at_once(points, anchor, name)[rows][None]).float()
    token = _token(points, anchor, rows)
    if name == "token":
        return torch.from_numpy(token).float()
    shared = np.concatenate([_at_once(points, anchor, one)[rows] for one in _AT_ONCE], axis=1)
    everywhere = np.broadcast_to(shared, (len(token), *shared.shape))
    return torch.from_numpy(np.concatenate([everywhere, token], axis=2)).float()


def _at_once(points: DecisionPoints, anchor: Anchor, name: str) -> Float[np.ndarray, "n columns"]:
    if name == "position":
        return position_features(anchor.position, points.is_train)
    return one_hot(points.words, points.is_train) if name == "words" else points.history


def _token(
    points: DecisionPoints, anchor: Anchor, rows: np.ndarray
) -> Float[np.ndarray, "offsets rows columns"]:
    """One-hot token at each offset, with as many columns as the offset with the most."""
    slots = points.tokens_by_anchor[anchor.name].T
    columns = [one_hot(slot[:, None], points.is_train)[rows] for slot in slots]
    found = np.zeros((len(columns), len(rows), max(one.shape[1] for one in columns)))
    for offset, one in enumerate(columns):
        found[offset, :, : one.shape[1]] = one
    return found


def owner_of(role: str, baseline: str) -> str:
    """The role under which a baseline's probes stand: '' where no model has a part in it."""
    return role if baseline == "embedding" else ""


def best_baselines(
    fitted: Mapping[Series, Probes], role: str, anchor: str, target: str
) -> Shaped[np.ndarray, " offsets"]:
    """Name of the baseline with the largest AUROC on dev, at every offset."""
    aurocs = [
        fitted[Series(owner_of(role, name), anchor, target, name)].dev_auroc for name in BASELINES
    ]
    return np.array(BASELINES)[np.nan_to_num(np.array(aurocs), nan=0.0).argmax(axis=0)]


def tabulate_baselines(points: DecisionPoints, fitted: Mapping[Series, Probes]) -> list[Baseline]:
    """AUROC on dev of every baseline at every offset; role '' where no model has a part in it."""
    return [
        Baseline(
            role=series.role,
            anchor=series.anchor,
            target=series.target,
            baseline=series.source,
            offset=offset,
            penalty=or_none(one.penalty[number]),
            dev_auroc=or_none(one.dev_auroc[number]),
        )
        for series, one in fitted.items()
        if isinstance(series.source, str)
        for number, offset in enumerate(points.anchor(series.anchor).offsets.tolist())
    ]
