"""Whether the grid of probes can be believed: what order within a window adds, and the null.

Both at the best cell of each model and target, at offsets from the deciding token.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing import logistic
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import Fitting, fit_probes
from backtracking.probing.targets import Task
from backtracking.records.intervals import Interval
from backtracking.records.places import window_text
from backtracking.records.rows.probe import Ordered, ProbeSelection, Shuffled
from backtracking.statistics.bands import Replicates, resample_aurocs
from backtracking.statistics.corrected import or_none
from backtracking.statistics.jackknife import LOGIT, PLAIN, Scale

Checked = tuple[Ordered, Shuffled]
"""Of one cell: ordered against permuted tokens, and shuffled labels."""


@dataclass(frozen=True)
class Cell:
    """One cell of the grid, at offsets from the deciding token.

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


@dataclass(frozen=True)
class Checking:
    """How cells are checked.

    Attributes:
        window: first and last offset that one probe reads together, both included.
        n_shuffles: label shuffles.
        fitting: penalties and tolerance.
        level: nominal coverage of intervals.
        seed: of the shuffles of tokens and labels.
    """

    window: tuple[int, int]
    n_shuffles: int
    fitting: Fitting
    level: float
    seed: int


def check_jobs(
    points: DecisionPoints,
    store_by_role: Mapping[str, ActivationStore],
    selection: ProbeSelection,
    checking: Checking,
) -> list[Callable[[], Checked]]:
    """Jobs that check the cells that were chosen on dev, at offsets from the deciding token."""
    task_by_target = {task.target: task for task in points.tasks}
    cells = [
        Cell(one.role, task_by_target[one.target], one.layer, one.offset, one.penalty)
        for one in selection.best
        if one.anchor == "decision" and one.penalty is not None
    ]
    return [
        partial(check, points, store_by_role[cell.role], cell, checking, number)
        for number, cell in enumerate(cells)
    ]


def check(
    points: DecisionPoints, store: ActivationStore, cell: Cell, checking: Checking, number: int
) -> Checked:
    """Both checks of one cell, with the random numbers that are its own by its number."""
    rng = np.random.default_rng(np.random.SeedSequence(checking.seed, spawn_key=(number,)))
    return (
        compare_orders(points, store, cell, checking, rng),
        shuffle_labels(points, store, cell, checking, rng),
    )


def compare_orders(
    points: DecisionPoints,
    store: ActivationStore,
    cell: Cell,
    checking: Checking,
    rng: np.random.Generator,
) -> Ordered:
    """AUROC of a probe on all tokens of a window in order, minus that on the same ones permuted.

    Each decision's tokens are permuted on their own, so that what stands in the window is the same
    and where it stands is lost.
    """
    task, decisions, window = cell.task, points.decisions, checking.window
    values, present, _ = read_windows(store, cell.layer, decisions[task.rows], window)
    whole = present.all(dim=1).numpy()
    order = torch.from_numpy(rng.random(values.shape[:2]).argsort(axis=1))
    permuted = values.gather(1, order[:, :, None].expand_as(values))
    split = decisions.split[task.rows]
    is_known, is_test = np.isin(split, ("train", "dev")) & whole, (split == "test") & whole
    scores = [
        _score_window(one, task, split, is_known, is_test, checking.fitting)
        for one in (values, permuted)
    ]
    both = _aurocs(points, task.rows[is_test], task.is_positive[is_test], np.stack(scores))
    (ends,) = _intervals(both[:1] - both[1:], checking.level)
    ordered, shuffled = map(or_none, both.value)
    where = (cell.role, task.target, cell.layer, window_text(window))
    return Ordered(*where, ordered, shuffled, ends)


def _score_window(
    values: Float[Tensor, "rows offsets d_model"],
    task: Task,
    split: np.ndarray,
    is_known: np.ndarray,
    is_test: np.ndarray,
    fitting: Fitting,
) -> Float[np.ndarray, " test_rows"]:
    """Log-odds of test rows by a probe that reads all tokens of a window together."""
    flat = values.flatten(1)[None]
    probes = fit_probes(
        flat[:, torch.from_numpy(is_known)],
        np.ones((1, int(is_known.sum())), dtype=bool),
        task.is_positive[is_known],
        split[is_known] == "train",
        fitting,
    )
    return probes.score(flat[:, torch.from_numpy(is_test)])[0]


def shuffle_labels(
    points: DecisionPoints,
    store: ActivationStore,
    cell: Cell,
    checking: Checking,
    rng: np.random.Generator,
) -> Shuffled:
    """The same cell with labels permuted among the rows of each split: AUROC must be 0.5."""
    task, decisions, n_shuffles = cell.task, points.decisions, checking.n_shuffles
    split = decisions.split[task.rows]
    values, present, _ = read_windows(
        store, cell.layer, decisions[task.rows], (cell.offset, cell.offset)
    )
    features, here = values.transpose(0, 1), present[:, 0].numpy()
    is_train, is_test = (split == "train") & here, (split == "test") & here
    labels = np.tile(task.is_positive, (n_shuffles, 1))
    for side in (is_train, is_test):
        labels[:, side] = rng.permuted(labels[:, side], axis=1)
    fits = _fit_all(features[:, torch.from_numpy(is_train)], labels[:, is_train], cell, checking)
    scores = fits.score(features[:, torch.from_numpy(is_test)])[0].numpy().T
    intervals = []
    for one, label in zip(scores, labels[:, is_test], strict=True):
        aurocs = _aurocs(points, task.rows[is_test], label, one[None])
        intervals += _intervals(aurocs, checking.level, LOGIT)
    values = [one.value for one in intervals if one.value is not None]
    covers = [
        one.low <= 0.5 <= one.high
        for one in intervals
        if one.low is not None and one.high is not None
    ]
    where = (cell.role, task.target, cell.layer, cell.offset)
    return Shuffled(*where, n_shuffles, _mean(values), _mean(covers))


def _fit_all(
    features: Float[Tensor, "1 rows d_model"],
    labels: Bool[np.ndarray, "shuffles rows"],
    cell: Cell,
    checking: Checking,
) -> logistic.Fits:
    """A fit to each of the labels, with the cell's penalty."""
    targets = torch.from_numpy(labels.T.astype(np.float64))[None]
    penalties = torch.full((len(labels),), cell.penalty, dtype=torch.float64)
    return logistic.fit(
        features, targets, torch.ones_like(targets), penalties, checking.fitting.search
    )


def _mean(values: Sequence[float] | Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def _aurocs(
    points: DecisionPoints,
    rows: Int[np.ndarray, " rows"],
    is_positive: Bool[np.ndarray, " rows"],
    scores: Float[np.ndarray, "cells rows"],
) -> Replicates:
    """AUROC of scores of test decisions, with those without each problem."""
    used = np.ones(scores.shape, dtype=bool)
    number = points.decisions.problem_number[rows]
    none = np.empty((0, points.n_test_problems))
    return resample_aurocs(scores, is_positive, number, used, none)


def _intervals(found: Replicates, level: float, scale: Scale = PLAIN) -> list[Interval]:
    low, high = found.ends(level, scale)
    return [
        Interval(or_none(value), or_none(first), or_none(last), n)
        for value, first, last, n in zip(found.value, low, high, found.n.tolist(), strict=True)
    ]
