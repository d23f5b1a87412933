"""The grid of probes, fitted and chosen: every model, layer and offset, and the baselines.

Only train and dev problems are read here; `probe_measures` reads test problems, once.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing.features import one_hot, position_features
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Fitting, Probes, Task, fit_probes
from backtracking.statistics.corrected import or_none

BASELINES = ("position", "words", "history", "token", "embedding", "together")
"""What is told without activations: position; one-hot words of the comparison, both its numbers;
label history; one-hot token at the offset; its embedding; all but the embedding at once."""

_BATCH_BYTES = 2**28


@dataclass(frozen=True)
class Place:
    """A row of the grid: one target, told from one model's layer at all offsets of an anchor.

    Attributes:
        source: a layer, or the name of a baseline.
    """

    role: str
    anchor: str
    target: str
    source: int | str


def activations(
    store: ActivationStore, layer: int, points: DecisionPoints, anchor: Anchor, rows: np.ndarray
) -> Iterator[tuple[slice, Float[Tensor, "cells rows d_model"], Bool[np.ndarray, "cells rows"]]]:
    """Activations of the chosen decisions, for as many offsets at a time as memory allows.

    Absent tokens are zeros.
    """
    moved = replace(points.moments[rows], start=anchor.position[rows])
    step = max(1, _BATCH_BYTES // (8 * max(1, len(rows)) * store.d_model))
    for first in range(0, len(anchor.offsets), step):
        chosen = slice(first, first + step)
        offsets = anchor.offsets[chosen]
        values, stored, _ = read_windows(store, layer, moved, (int(offsets[0]), int(offsets[-1])))
        present = stored.T.numpy() & anchor.present[chosen][:, rows]
        yield chosen, values.transpose(0, 1).contiguous(), present


def shared_features(
    points: DecisionPoints, anchor: Anchor
) -> dict[str, Float[Tensor, "cells n columns"]]:
    """Features of the baselines that no model has a part in.

    One cell for each offset, or one in all where the features are the same at every offset.
    """
    is_train = points.moments.split == "train"
    tokens = points.tokens_by_anchor[anchor.name]
    once = {
        "position": position_features(anchor.position, is_train),
        "words": one_hot(points.words, is_train),
        "history": points.history,
    }
    columns = [one_hot(slot[:, None], is_train) for slot in tokens.T]
    token = np.zeros((len(columns), len(tokens), max(one.shape[1] for one in columns)))
    for offset, one in enumerate(columns):
        token[offset, :, : one.shape[1]] = one
    shared = np.concatenate(list(once.values()), axis=1)
    together = np.concatenate([np.broadcast_to(shared, (len(token), *shared.shape)), token], axis=2)
    features = {name: one[None] for name, one in once.items()}
    features |= {"token": token, "together": together}
    return {name: torch.from_numpy(one).float() for name, one in features.items()}


def embedding_features(
    points: DecisionPoints, anchor: Anchor, embedding: Float[Tensor, "d_vocab d_model"]
) -> Float[Tensor, "offsets n d_model"]:
    """A model's embedding of the token at each offset; zeros where there is none."""
    ids = torch.from_numpy(points.tokens_by_anchor[anchor.name].T)
    return embedding.float()[ids.clamp(min=0)] * (ids >= 0)[..., None]


def fit_grid(
    points: DecisionPoints,
    store_by_role: Mapping[str, ActivationStore],
    fitting: Fitting,
    n_threads: int = 1,
) -> dict[Place, Probes]:
    """The chosen probes of every model, layer, anchor and target.

    Fits are small, so threads share them out and do not share one.
    """
    jobs = [
        (role, layer, anchor)
        for role, store in store_by_role.items()
        for layer in store.layers
        for anchor in points.anchors
    ]

    def fit_one(job: tuple[str, int, Anchor]) -> dict[Place, Probes]:
        return _fit_layer(points, store_by_role[job[0]], *job, fitting)

    with ThreadPoolExecutor(n_threads) as pool:
        return {place: one for found in pool.map(fit_one, jobs) for place, one in found.items()}


def _fit_layer(
    points: DecisionPoints,
    store: ActivationStore,
    role: str,
    layer: int,
    anchor: Anchor,
    fitting: Fitting,
) -> dict[Place, Probes]:
    rows = _known_rows(points)
    found: dict[Place, list[Probes]] = {}
    for _, values, present in activations(store, layer, points, anchor, rows):
        for task in points.tasks:
            place = Place(role, anchor.name, task.target, layer)
            one = _fit_task(points, task, rows, values, present, fitting)
            found.setdefault(place, []).append(one)
    return {place: _join(parts) for place, parts in found.items()}


def fit_baselines(
    points: DecisionPoints,
    embedding_by_role: Mapping[str, Tensor],
    fitting: Fitting,
    n_threads: int = 1,
) -> dict[Place, Probes]:
    """The chosen probes of every baseline; those that no model has a part in have role ''."""
    jobs = []
    for anchor in points.anchors:
        shared = shared_features(points, anchor)
        jobs += [(anchor, "", name, features) for name, features in shared.items()]
        jobs += [
            (anchor, role, "embedding", embedding_features(points, anchor, embedding))
            for role, embedding in embedding_by_role.items()
        ]

    def fit_one(job: tuple[Anchor, str, str, Tensor]) -> dict[Place, Probes]:
        return _fit_baseline(points, *job, fitting)

    with ThreadPoolExecutor(n_threads) as pool:
        return {place: one for found in pool.map(fit_one, jobs) for place, one in found.items()}


def _fit_baseline(
    points: DecisionPoints,
    anchor: Anchor,
    role: str,
    name: str,
    features: Float[Tensor, "cells n columns"],
    fitting: Fitting,
) -> dict[Place, Probes]:
    rows = _known_rows(points)
    present = anchor.present[:, rows]
    if len(features) == 1:
        present = np.ones((1, len(rows)), dtype=bool)
    found = {}
    for task in points.tasks:
        one = _fit_task(points, task, rows, features[:, rows], present, fitting)
        found[Place(role, anchor.name, task.target, name)] = _repeat(one, len(anchor.offsets))
    return found


def owner_of(role: str, baseline: str) -> str:
    """The role under which a baseline's probes stand: '' where no model has a part in it."""
    return role if baseline == "embedding" else ""


def best_baselines(
    fitted: Mapping[Place, Probes], role: str, anchor: str, target: str
) -> Shaped[np.ndarray, " offsets"]:
    """Name of the baseline with the largest AUROC on dev, at every offset."""
    aurocs = [
        fitted[Place(owner_of(role, name), anchor, target, name)].dev_auroc for name in BASELINES
    ]
    return np.array(BASELINES)[np.nan_to_num(np.array(aurocs), nan=0.0).argmax(axis=0)]


def select(
    points: DecisionPoints, probes: Mapping[Place, Probes], baselines: Mapping[Place, Probes]
) -> dict[str, Any]:
    """Everything that was chosen on dev: each cell's penalty and baseline, and the best cells."""
    cells, best = [], {}
    for place, one in probes.items():
        anchor = next(a for a in points.anchors if a.name == place.anchor)
        names = best_baselines(baselines, place.role, place.anchor, place.target)
        for number, offset in enumerate(anchor.offsets.tolist()):
            row = {"role": place.role, "anchor": place.anchor, "target": place.target}
            row |= {"layer": place.source, "offset": offset, "baseline": str(names[number])}
            row |= {"penalty": or_none(one.penalty[number])}
            row |= {"dev_auroc": or_none(one.dev_auroc[number])}
            cells.append(row)
            key = (place.role, place.anchor, place.target)
            found = row["dev_auroc"]
            if found is None or offset > anchor.last:
                continue
            if key not in best or found > best[key]["dev_auroc"]:
                best[key] = row
    return {"chosen_on": "dev", "best": list(best.values()), "cells": cells}


def tabulate_baselines(
    points: DecisionPoints, fitted: Mapping[Place, Probes]
) -> list[dict[str, Any]]:
    """AUROC on dev of every baseline at every offset; role '' where no model has a part in it."""
    offsets_by_anchor = {one.name: one.offsets.tolist() for one in points.anchors}
    return [
        {"role": place.role, "anchor": place.anchor, "target": place.target}
        | {"baseline": place.source, "offset": offset}
        | {"penalty": or_none(one.penalty[number]), "dev_auroc": or_none(one.dev_auroc[number])}
        for place, one in fitted.items()
        if place.source in BASELINES
        for number, offset in enumerate(offsets_by_anchor[place.anchor])
    ]


def _known_rows(points: DecisionPoints) -> np.ndarray:
    return np.flatnonzero(np.isin(points.moments.split, ("train", "dev")))


def _fit_task(
    points: DecisionPoints,
    task: Task,
    rows: np.ndarray,
    features: Tensor,
    present: np.ndarray,
    fitting: Fitting,
) -> Probes:
    """Probes of a target, from features of train and dev decisions."""
    asked = np.isin(task.rows, rows)
    place = np.searchsorted(rows, task.rows[asked])
    is_train = points.moments.split[task.rows[asked]] == "train"
    return fit_probes(
        features[:, place], present[:, place], task.is_positive[asked], is_train, fitting
    )


def _join(parts: Sequence[Probes]) -> Probes:
    return Probes(
        torch.cat([part.weight for part in parts]),
        torch.cat([part.intercept for part in parts]),
        np.concatenate([part.penalty for part in parts]),
        np.concatenate([part.dev_auroc for part in parts]),
    )


def _repeat(probes: Probes, n_offsets: int) -> Probes:
    """A probe that is the same at all offsets, once for each."""
    times = n_offsets // len(probes.intercept)
    return _join([probes] * times)
