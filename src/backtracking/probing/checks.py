"""What the grid of probes amounts to, and whether it can be believed.

When a probe first beats the baselines for good; whether one beats the exact posterior, which is a
leak; what order within a window adds; and that shuffled labels tell nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing import logistic
from backtracking.probing.measures import Excess
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import Fitting, Task, fit_probes
from backtracking.statistics.bands import Replicates, band, concatenate, earliest, resample_aurocs
from backtracking.statistics.bootstrap import Interval
from backtracking.statistics.corrected import or_none
from backtracking.statistics.jackknife import LOGIT, PLAIN, Scale
from lifeboat.stage.errors import UserError


def find_earliest(
    rows: Sequence[Mapping[str, Any]], last_by_anchor: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The first offset from which on the band is above 0, by model, anchor, target, pairs, layer.

    Offsets behind an anchor's last are the event itself and do not count.
    """
    keys = ("role", "anchor", "target", "pairs", "layer")
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["offset"] <= last_by_anchor[row["anchor"]]:
            groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    found = []
    for group, cells in groups.items():
        low = np.array([np.nan if row["band_low"] is None else row["band_low"] for row in cells])
        offsets = np.array([row["offset"] for row in cells])
        found.append(dict(zip(keys, group, strict=True)) | {"earliest": earliest(low, offsets)})
    return found


def require_no_leak(excesses: Sequence[Excess], level: float) -> dict[str, Any]:
    """The cell that is furthest above its ceiling, by a lower band over all cells of the study.

    Raises:
        UserError: where that is above 0: the cell reads what its prefix does not hold.
    """
    together = concatenate([one.excess for one in excesses])
    cells = [
        {"role": one.place.role, "anchor": one.place.anchor, "target": one.place.target}
        | {"layer": one.place.source, "offset": offset}
        for one in excesses
        for offset in one.offsets.tolist()
    ]
    low = band(together, level).low
    known = np.isfinite(low)
    if not known.any():
        return {"n_cells": 0}
    worst = int(np.where(known, low, -np.inf).argmax())
    value = float(together.value[worst])
    if low[worst] > 0:
        where = ", ".join(f"{key} {name}" for key, name in cells[worst].items())
        raise UserError(
            f"A probe tells more than its prefix holds: {where}: AUROC {value:+.3f} from that of "
            f"the exact posterior, {low[worst]:+.3f} at the least over {int(known.sum())} cells.",
            "Look for activations of later tokens, for test problems among the train problems, or "
            "for labels of other traces.",
        )
    worst_cell = cells[worst] | {"excess": value, "band_low": float(low[worst])}
    return {"n_cells": int(known.sum()), "level": level, "closest": worst_cell}


@dataclass(frozen=True)
class Cell:
    """One cell of the grid, at offsets from the comparison.

    Attributes:
        role: the model.
        task: the target.
        layer, offset, penalty: chosen on dev.
    """

    role: str
    task: Task
    layer: int
    offset: int
    penalty: float


def compare_orders(
    points: DecisionPoints,
    store: ActivationStore,
    cell: Cell,
    window: tuple[int, int],
    fitting: Fitting,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """AUROC of a probe on all tokens of a window in order, minus that on the same ones permuted.

    Each decision's tokens are permuted on their own, so that what stands in the window is the same
    and where it stands is lost.
    """
    task, moments = cell.task, points.moments
    values, present, _ = read_windows(store, cell.layer, moments[task.rows], window)
    whole = present.all(dim=1).numpy()
    order = torch.from_numpy(rng.random(values.shape[:2]).argsort(axis=1))
    permuted = values.gather(1, order[:, :, None].expand_as(values))
    split = moments.split[task.rows]
    is_known, is_test = np.isin(split, ("train", "dev")) & whole, (split == "test") & whole
    scores = []
    for one in (values, permuted):
        flat = one.flatten(1)[None]
        probes = fit_probes(
            flat[:, torch.from_numpy(is_known)],
            np.ones((1, int(is_known.sum())), dtype=bool),
            task.is_positive[is_known],
            split[is_known] == "train",
            fitting,
        )
        scores.append(probes.score(flat[:, torch.from_numpy(is_test)])[0])
    both = _aurocs(points, task.rows[is_test], task.is_positive[is_test], np.stack(scores))
    (ends,) = _intervals(both[:1] - both[1:], level)
    return {
        "role": cell.role,
        "target": task.target,
        "layer": cell.layer,
        "window": f"{window[0]}:{window[1]}",
        "ordered_auroc": or_none(both.value[0]),
        "shuffled_auroc": or_none(both.value[1]),
    } | asdict(ends)


def shuffle_labels(
    points: DecisionPoints,
    store: ActivationStore,
    cell: Cell,
    n_shuffles: int,
    fitting: Fitting,
    level: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """The same cell with labels permuted among the rows of each split: AUROC must be 0.5.

    Returns:
        The mean AUROC, and the share of shuffles whose interval covers 0.5: nominally the level.
    """
    task, split = cell.task, points.moments.split[cell.task.rows]
    values, present, _ = read_windows(
        store, cell.layer, points.moments[task.rows], (cell.offset, cell.offset)
    )
    features, here = values.transpose(0, 1), present[:, 0].numpy()
    is_train, is_test = (split == "train") & here, (split == "test") & here
    labels = np.tile(task.is_positive, (n_shuffles, 1))
    for side in (is_train, is_test):
        labels[:, side] = rng.permuted(labels[:, side], axis=1)
    targets = torch.from_numpy(labels[:, is_train].T.astype(np.float64))[None]
    fits = logistic.fit(
        features[:, torch.from_numpy(is_train)],
        targets,
        torch.ones_like(targets),
        torch.full((n_shuffles,), cell.penalty, dtype=torch.float64),
        fitting.search,
    )
    scores = fits.score(features[:, torch.from_numpy(is_test)])[0].numpy().T
    intervals = []
    for one, label in zip(scores, labels[:, is_test], strict=True):
        intervals += _intervals(_aurocs(points, task.rows[is_test], label, one[None]), level, LOGIT)
    return {
        "role": cell.role,
        "target": task.target,
        "layer": cell.layer,
        "offset": cell.offset,
        "n_shuffles": n_shuffles,
    } | _covering(intervals)


def _covering(intervals: Sequence[Interval]) -> dict[str, Any]:
    values = [one.value for one in intervals if one.value is not None]
    covers = [
        one.low <= 0.5 <= one.high
        for one in intervals
        if one.low is not None and one.high is not None
    ]
    return {
        "mean_auroc": float(np.mean(values)) if values else None,
        "covering_rate": float(np.mean(covers)) if covers else None,
    }


def _aurocs(
    points: DecisionPoints,
    rows: Int[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    scores: Float[np.ndarray, "cells rows"],
) -> Replicates:
    """AUROC of scores of test decisions, with those without each problem."""
    moments = points.moments
    n_problems = int(moments.problem_number[moments.split == "test"].max(initial=0)) + 1
    used = np.ones(scores.shape, dtype=bool)
    number = moments.problem_number[rows]
    return resample_aurocs(scores, is_positive, number, used, np.empty((0, n_problems)))


def _intervals(found: Replicates, level: float, scale: Scale = PLAIN) -> list[Interval]:
    low, high = found.ends(level, scale)
    return [
        Interval(or_none(value), or_none(first), or_none(last), n)
        for value, first, last, n in zip(found.value, low, high, found.n.tolist(), strict=True)
    ]
