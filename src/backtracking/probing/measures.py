"""The chosen cells on test problems: AUROC beside baseline, ceiling and the true kind alone.

Test problems are read here alone, once, at the cell that dev chose for each model and target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.activations.windows import read_windows
from backtracking.probing.baselines import baseline_features, owner_of
from backtracking.probing.points import DecisionPoints
from backtracking.probing.probes import Probes, Series
from backtracking.probing.targets import ACTION, Task
from backtracking.records.intervals import Interval
from backtracking.records.rows.probe import Ceiling, Choice, Closest, Probed, Within
from backtracking.statistics.bands import Replicates, band, concatenate, resample_aurocs
from backtracking.statistics.bootstrap import Bootstrap, resample_problems
from backtracking.statistics.corrected import or_none
from backtracking.statistics.jackknife import LOGIT, PLAIN, Scale
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Cell:
    """A chosen cell, and the test decisions that have a token there.

    Attributes:
        choice: the cell.
        number: of its offset.
        rows: the decisions' numbers.
        is_positive: their answers.
        scores: log-odds by the probe.
    """

    choice: Choice
    number: int
    rows: Int[np.ndarray, " rows"]
    is_positive: Bool[np.ndarray, " rows"]
    scores: Float[np.ndarray, " rows"]


@dataclass(frozen=True)
class Measured:
    """What a cell tells on test problems.

    Attributes:
        row: beside what it is compared with.
        within: among the decisions of each kind; empty where the target is a kind.
        excess: its AUROC minus its ceiling's, where that is known.
    """

    row: Probed
    within: list[Within]
    excess: Replicates


def read_cell(
    points: DecisionPoints, store: ActivationStore, choice: Choice, probes: Probes
) -> Cell:
    """The test decisions of a cell, as the probe at its offset scores them."""
    task, number = points.task(choice.target), points.offsets.tolist().index(choice.offset)
    is_test = points.decisions.split[task.rows] == "test"
    rows = task.rows[is_test]
    values, stored, _ = read_windows(
        store, choice.layer, points.decisions[rows], (choice.offset, choice.offset)
    )
    scores = probes[number : number + 1].score(values.transpose(0, 1))[0]
    here = points.present[number, rows] & stored[:, 0].numpy()
    return Cell(choice, number, rows[here], task.is_positive[is_test][here], scores[here])


def measure(
    points: DecisionPoints,
    cell: Cell,
    embedding: Float[Tensor, "d_vocab d_model"],
    p_writer: Float[np.ndarray, " n"],
    fitted: Mapping[Series, Probes],
    bootstrap: Bootstrap,
) -> Measured:
    """A cell beside its baseline, its ceiling, and the true kind.

    Args:
        points: all decisions.
        cell: as from `read_cell`.
        embedding: of the model's tokens.
        p_writer: P(the action turns | prefix up to the decision) under the writer, which no prefix
            up to the decision can rank better; NaN where it is not known.
        fitted: the baselines among others.
        bootstrap: resamples.
    """
    choice, kinds = cell.choice, _kinds(points, cell)
    ceiling = p_writer if choice.target == ACTION else points.posterior_by_target[choice.target]
    ceiling = (ceiling if ceiling.ndim == 1 else ceiling[cell.number])[cell.rows]
    kind = points.decisions.kind[cell.rows]
    columns = [
        cell.scores,
        _score_baseline(points, cell, embedding, fitted),
        ceiling,
        np.where(np.isfinite(ceiling), cell.scores, np.nan),
        _turning_share(points, points.task(choice.target))[cell.rows],
        *(np.where(kind == one, cell.scores, np.nan) for one in kinds),
    ]
    found = _aurocs(points, cell, np.stack(columns), bootstrap)
    own, baseline, limit, limited, of_kind = (found[n : n + 1] for n in range(5))
    level, is_action = bootstrap.level, bool(kinds)
    within = [
        Within(
            choice.role, one, _interval(found[5 + n : 6 + n], level, LOGIT),
            int((kind == one).sum()), int(cell.is_positive[kind == one].sum()),
        )
        for n, one in enumerate(kinds)
    ]  # fmt: skip
    row = Probed(
        choice=choice,
        auroc=_interval(own, level, LOGIT),
        baseline_auroc=or_none(baseline.value[0]),
        difference=_interval(own - baseline, level),
        ceiling=or_none(limit.value[0]),
        kind_auroc=_interval(of_kind, level, LOGIT) if is_action else None,
        beyond_kind=_interval(own - of_kind, level) if is_action else None,
        n_rows=len(cell.rows),
    )
    return Measured(row, within, limited - limit)


def _kinds(points: DecisionPoints, cell: Cell) -> tuple[str, ...]:
    """Kinds of the cell's decisions, where the target is the action."""
    if cell.choice.target != ACTION:
        return ()
    return tuple(points.decisions[cell.rows].kinds())


def _turning_share(points: DecisionPoints, task: Task) -> Float[np.ndarray, " n"]:
    """How often train problems answer yes at each decision's kind; NaN where that is not known."""
    kind, found = points.decisions.kind, np.full(len(points.decisions), np.nan)
    is_train = points.is_train[task.rows]
    for one in points.decisions.kinds():
        its = task.is_positive[is_train & (kind[task.rows] == one)]
        found[kind == one] = its.mean() if len(its) else np.nan
    return found


def _score_baseline(
    points: DecisionPoints,
    cell: Cell,
    embedding: Float[Tensor, "d_vocab d_model"],
    fitted: Mapping[Series, Probes],
) -> Float[np.ndarray, " rows"]:
    """Log-odds by the best baseline of the cell."""
    choice, name = cell.choice, cell.choice.baseline
    probes = fitted[Series(owner_of(choice.role, name), choice.target, name)]
    its = embedding if name == "embedding" else None
    features = baseline_features(points, name, cell.rows, its)
    place = min(cell.number, len(features) - 1)
    return probes[cell.number : cell.number + 1].score(features[place : place + 1])[0]


def _aurocs(
    points: DecisionPoints,
    cell: Cell,
    scores: Float[np.ndarray, "columns rows"],
    bootstrap: Bootstrap,
) -> Replicates:
    """AUROC of each column of scores, over the rows that it has."""
    rng = np.random.default_rng(bootstrap.seed)
    weights = resample_problems(points.n_test_problems, bootstrap.n_resamples, rng)
    problem = points.decisions.problem_number[cell.rows]
    used = np.ones(scores.shape, dtype=bool)
    return resample_aurocs(scores, cell.is_positive, problem, used, weights)


def _interval(found: Replicates, level: float, scale: Scale = PLAIN) -> Interval:
    low, high = found.ends(level, scale)
    value, first, last = (or_none(one[0]) for one in (found.value, low, high))
    return Interval(value, first, last, int(found.n[0]))


def require_no_leak(measured: Sequence[Measured], level: float) -> Ceiling:
    """The cell that is furthest above its ceiling, by a lower band over all cells.

    Raises:
        UserError: where that is above 0: the cell reads what its prefix does not hold.
    """
    if not measured:
        return Ceiling(0, level, None)
    together = concatenate([one.excess for one in measured])
    low = band(together, level).low
    known = np.isfinite(low)
    if not known.any():
        return Ceiling(0, level, None)
    worst = int(np.where(known, low, -np.inf).argmax())
    one, n_cells = measured[worst].row.choice, int(known.sum())
    excess, band_low = float(together.value[worst]), float(low[worst])
    if band_low > 0:
        raise UserError(
            f"A probe tells more than its prefix holds: role {one.role}, target {one.target}, "
            f"layer {one.layer}, offset {one.offset}: AUROC {excess:+.3f} from that of the exact "
            f"posterior, {band_low:+.3f} at the least over {n_cells} cells.",
            "Look for activations of later tokens, for test problems among the train problems, or "
            "for labels of other traces.",
        )
    return Ceiling(
        n_cells,
        level,
        Closest(one.role, one.target, one.layer, one.offset, excess, band_low),
    )
