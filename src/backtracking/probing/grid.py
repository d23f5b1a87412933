"""The grid of probes, fitted and chosen: every model, layer and offset.

Only train and dev problems are read here; `measures` reads test problems, once.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing.baselines import best_baselines
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import (
    DIGITS,
    Fitting,
    Probes,
    Series,
    fit_task,
    known_rows,
)
from backtracking.records.edges import edge_of
from backtracking.records.rows.probe import Choice, ProbeSelection
from backtracking.statistics.corrected import or_none

_BATCH_BYTES = 2**28


def activations(
    store: ActivationStore,
    layer: int,
    points: DecisionPoints,
    rows: Int[np.ndarray, " rows"],
) -> Iterator[tuple[slice, Float[Tensor, "cells rows d_model"], Bool[np.ndarray, "cells rows"]]]:
    """Activations of the chosen decisions, for as many offsets at a time as memory allows.

    Absent tokens are zeros.
    """
    its = points.decisions[rows]
    step = max(1, _BATCH_BYTES // (8 * max(1, len(rows)) * store.d_model))
    for first in range(0, len(points.offsets), step):
        chosen = slice(first, first + step)
        offsets = points.offsets[chosen]
        values, stored, _ = read_windows(store, layer, its, (int(offsets[0]), int(offsets[-1])))
        present = stored.T.numpy() & points.present[chosen][:, rows]
        yield chosen, values.transpose(0, 1).contiguous(), present


def grid_jobs(
    points: DecisionPoints, store_by_role: Mapping[str, ActivationStore], fitting: Fitting
) -> list[Callable[[], list[tuple[Series, Probes]]]]:
    """Jobs that fit the probes of every model and layer."""
    return [
        partial(fit_layer, points, store, role, layer, fitting)
        for role, store in store_by_role.items()
        for layer in store.layers
    ]


def fit_layer(
    points: DecisionPoints,
    store: ActivationStore,
    role: str,
    layer: int,
    fitting: Fitting,
) -> list[tuple[Series, Probes]]:
    """The chosen probes of one layer at all offsets, one series a target."""
    found: dict[Series, list[Probes]] = {}
    for _, values, present in activations(store, layer, points, known_rows(points)):
        for task in points.tasks:
            series = Series(role, task.target, layer)
            one = fit_task(points, task, values, present, fitting)
            found.setdefault(series, []).append(one)
    return [(series, Probes.join(parts)) for series, parts in found.items()]


def select(
    points: DecisionPoints, fitted: Mapping[Series, Probes], fitting: Fitting
) -> ProbeSelection:
    """Everything that was chosen on dev: each cell's penalty and baseline, and the best cells."""
    cells = [
        choice
        for series, one in fitted.items()
        if isinstance(series.source, int)
        for choice in _choices(points, series, series.source, fitted, fitting, one)
    ]
    best: dict[tuple[str, str], Choice] = {}
    for one in cells:
        if one.dev_auroc is not None:
            key = (one.role, one.target)
            best[key] = max(best.get(key, one), one, key=lambda cell: cell.dev_auroc or 0.0)
    return ProbeSelection("dev", tuple(best.values()), tuple(cells))


def _choices(
    points: DecisionPoints,
    series: Series,
    layer: int,
    fitted: Mapping[Series, Probes],
    fitting: Fitting,
    probes: Probes,
) -> Iterator[Choice]:
    """What was chosen at each offset of a layer."""
    names = best_baselines(fitted, series.role, series.target)
    for number, offset in enumerate(points.offsets.tolist()):
        penalty = or_none(probes.penalty[number])
        yield Choice(
            role=series.role,
            target=series.target,
            layer=layer,
            offset=offset,
            baseline=str(names[number]),
            penalty=penalty,
            edge=None if penalty is None else edge_of(penalty, fitting.penalties),
            dev_auroc=or_none(np.round(probes.dev_auroc[number], DIGITS)),
        )
