"""The grid of probes, fitted and chosen: every model, layer and offset.

Only train and dev problems are read here; `measures` reads test problems, once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing.baselines import best_baselines
from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Fitting, Probes, Series, fit_task, known_rows
from backtracking.records.rows.probe import Choice, ProbeSelection
from backtracking.statistics.corrected import or_none

_BATCH_BYTES = 2**28


def activations(
    store: ActivationStore,
    layer: int,
    points: DecisionPoints,
    anchor: Anchor,
    rows: Int[np.ndarray, " rows"],
) -> Iterator[tuple[slice, Float[Tensor, "cells rows d_model"], Bool[np.ndarray, "cells rows"]]]:
    """Activations of the chosen decisions, for as many offsets at a time as memory allows.

    Absent tokens are zeros.
    """
    moved = replace(points.decisions[rows], position=anchor.position[rows])
    step = max(1, _BATCH_BYTES // (8 * max(1, len(rows)) * store.d_model))
    for first in range(0, len(anchor.offsets), step):
        chosen = slice(first, first + step)
        offsets = anchor.offsets[chosen]
        values, stored, _ = read_windows(store, layer, moved, (int(offsets[0]), int(offsets[-1])))
        present = stored.T.numpy() & anchor.present[chosen][:, rows]
        yield chosen, values.transpose(0, 1).contiguous(), present


def grid_jobs(
    points: DecisionPoints, store_by_role: Mapping[str, ActivationStore], fitting: Fitting
) -> list[Callable[[], list[tuple[Series, Probes]]]]:
    """Jobs that fit the probes of every model, layer and anchor."""
    return [
        partial(fit_layer, points, store, role, layer, anchor.name, fitting)
        for role, store in store_by_role.items()
        for layer in store.layers
        for anchor in points.anchors
    ]


def fit_layer(
    points: DecisionPoints,
    store: ActivationStore,
    role: str,
    layer: int,
    anchor_name: str,
    fitting: Fitting,
) -> list[tuple[Series, Probes]]:
    """The chosen probes of one layer at all offsets of an anchor, one series a target."""
    found: dict[Series, list[Probes]] = {}
    known = activations(store, layer, points, points.anchor(anchor_name), known_rows(points))
    for _, values, present in known:
        for task in points.tasks:
            series = Series(role, anchor_name, task.target, layer)
            one = fit_task(points, task, values, present, fitting)
            found.setdefault(series, []).append(one)
    return [(series, Probes.join(parts)) for series, parts in found.items()]


def select(points: DecisionPoints, fitted: Mapping[Series, Probes]) -> ProbeSelection:
    """Everything that was chosen on dev: each cell's penalty and baseline, and the best cells."""
    cells = [
        choice
        for series, one in fitted.items()
        if isinstance(series.source, int)
        for choice in _choices(points, series, series.source, one, fitted)
    ]
    best: dict[tuple[str, str, str], Choice] = {}
    for one in cells:
        if one.dev_auroc is not None and one.offset <= points.anchor(one.anchor).last:
            key = (one.role, one.anchor, one.target)
            best[key] = max(best.get(key, one), one, key=lambda cell: cell.dev_auroc or 0.0)
    return ProbeSelection("dev", tuple(best.values()), tuple(cells))


def _choices(
    points: DecisionPoints,
    series: Series,
    layer: int,
    probes: Probes,
    fitted: Mapping[Series, Probes],
) -> Iterator[Choice]:
    """What was chosen at each offset of a layer."""
    names = best_baselines(fitted, series.role, series.anchor, series.target)
    for number, offset in enumerate(points.anchor(series.anchor).offsets.tolist()):
        yield Choice(
            role=series.role,
            anchor=series.anchor,
            target=series.target,
            layer=layer,
            offset=offset,
            baseline=str(names[number]),
            penalty=or_none(probes.penalty[number]),
            dev_auroc=or_none(probes.dev_auroc[number]),
        )
