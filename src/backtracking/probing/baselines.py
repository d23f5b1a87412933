"""What is told without activations: features, their probes, and the best of them on dev."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from backtracking.probing.features import one_hot, position_features
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import Fitting, Probes, Series, fit_task, known_rows

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
    its = [("", name, None) for name in BASELINES if name != "embedding"]
    its += [(role, "embedding", one) for role, one in embedding_by_role.items()]
    return [partial(fit_baseline, points, *one, fitting) for one in its]


def fit_baseline(
    points: DecisionPoints,
    role: str,
    name: str,
    embedding: Float[Tensor, "d_vocab d_model"] | None,
    fitting: Fitting,
) -> list[tuple[Series, Probes]]:
    """The chosen probes of one baseline, one a target."""
    rows = known_rows(points)
    features = baseline_features(points, name, rows, embedding)
    present = points.present[:, rows]
    if name in _AT_ONCE:
        present = np.ones((1, len(rows)), dtype=bool)
    times = len(points.offsets) // len(features)
    return [
        (
            Series(role, task.target, name),
            Probes.join([fit_task(points, task, features, present, fitting)] * times),
        )
        for task in points.tasks
    ]


def baseline_features(
    points: DecisionPoints,
    name: str,
    rows: Int[np.ndarray, " rows"],
    embedding: Float[Tensor, "d_vocab d_model"] | None = None,
) -> Float[Tensor, "cells rows columns"]:
    """A baseline's features of the chosen decisions; categories and cuts are those of train rows.

    One cell for each offset, or one in all where the features are the same at every offset.
    """
    if embedding is not None:
        ids = torch.from_numpy(points.tokens[rows].T)
        return embedding.float()[ids.clamp(min=0)] * (ids >= 0)[..., None]
    if name in _AT_ONCE:
        return torch.from_numpy(_at_once(points, name)[rows][None]).float()
    token = _token(points, rows)
    if name == "token":
        return torch.from_numpy(token).float()
    shared = np.concatenate([_at_once(points, one)[rows] for one in _AT_ONCE], axis=1)
    everywhere = np.broadcast_to(shared, (len(token), *shared.shape))
    return torch.from_numpy(np.concatenate([everywhere, token], axis=2)).float()


def _at_once(points: DecisionPoints, name: str) -> Float[np.ndarray, "n columns"]:
    if name == "position":
        return position_features(points.decisions.position, points.is_train)
    return one_hot(points.words, points.is_train) if name == "words" else points.history


def _token(points: DecisionPoints, rows: np.ndarray) -> Float[np.ndarray, "offsets rows columns"]:
    """One-hot token at each offset, with as many columns as the offset with the most."""
    slots = points.tokens.T
    columns = [one_hot(slot[:, None], points.is_train)[rows] for slot in slots]
    found = np.zeros((len(columns), len(rows), max(one.shape[1] for one in columns)))
    for offset, one in enumerate(columns):
        found[offset, :, : one.shape[1]] = one
    return found


def owner_of(role: str, baseline: str) -> str:
    """The role under which a baseline's probes stand: '' where no model has a part in it."""
    return role if baseline == "embedding" else ""


def best_baselines(
    fitted: Mapping[Series, Probes], role: str, target: str
) -> Shaped[np.ndarray, " offsets"]:
    """Name of the baseline with the largest AUROC on dev, at every offset."""
    aurocs = [fitted[Series(owner_of(role, name), target, name)].dev_auroc for name in BASELINES]
    return np.array(BASELINES)[np.nan_to_num(np.array(aurocs), nan=0.0).argmax(axis=0)]
