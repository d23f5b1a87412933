"""The test decisions of a target, their resamples, and what no probe can rank better there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from backtracking.probing.points import Anchor, DecisionPoints
from backtracking.probing.probes import Series
from backtracking.probing.targets import ACTION, Task
from backtracking.records.rows.probe import Ceiling, Closest
from backtracking.statistics.bands import Replicates, band, concatenate, resample_aurocs
from backtracking.statistics.bootstrap import Bootstrap, resample_problems
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Asked:
    """The test decisions of a target, at the offsets of an anchor.

    Attributes:
        target: the target.
        rows: their numbers.
        is_positive: the answers.
        problem: number of each row's problem among the test problems.
        used: rows that each offset has, by pairs.
        posterior: exact posterior under a known writer; NaN where it is not known.
        has_ceiling: rows of each offset where it is known what no probe can rank better: the
            posterior, and for the action the writer's own probability, which an earlier prefix
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
class Excess:
    """How far the probes of one series are above the ceiling, at every offset."""

    series: Series
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
        p_writer: P(the action turns | prefix up to the decision) under the writer; NaN unknown.
        bootstrap: resamples.
    """
    decisions = points.decisions
    is_test = decisions.split[task.rows] == "test"
    rows = task.rows[is_test]
    present = anchor.present[:, rows]
    posterior = ceiling = anchor.posterior_by_target[task.target][:, rows]
    if task.target == ACTION:
        before = anchor.position[rows] + anchor.offsets[:, None] < decisions.end[rows]
        ceiling = np.where(before, p_writer[rows], np.nan)
    rng = np.random.default_rng(bootstrap.seed)
    weights = resample_problems(points.n_test_problems, bootstrap.n_resamples, rng)
    is_positive, problem = task.is_positive[is_test], decisions.problem_number[rows]
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


def require_no_leak(excesses: Sequence[Excess], level: float) -> Ceiling:
    """The cell that is furthest above its ceiling, by a lower band over all cells of the study.

    Raises:
        UserError: where that is above 0: the cell reads what its prefix does not hold.
    """
    cells = [(one.series, offset) for one in excesses for offset in one.offsets.tolist()]
    if not cells:
        return Ceiling(0, level, None)
    together = concatenate([one.excess for one in excesses])
    low = band(together, level).low
    known = np.isfinite(low)
    if not known.any():
        return Ceiling(0, level, None)
    worst = int(np.where(known, low, -np.inf).argmax())
    series, offset = cells[worst]
    excess, band_low = float(together.value[worst]), float(low[worst])
    where = (series.role, series.anchor, series.target, int(series.source), offset)
    n_cells = int(known.sum())
    if band_low > 0:
        names = ("role", "anchor", "target", "layer", "offset")
        told = ", ".join(f"{name} {value}" for name, value in zip(names, where, strict=True))
        raise UserError(
            f"A probe tells more than its prefix holds: {told}: AUROC {excess:+.3f} from that of "
            f"the exact posterior, {band_low:+.3f} at the least over {n_cells} cells.",
            "Look for activations of later tokens, for test problems among the train problems, or "
            "for labels of other traces.",
        )
    return Ceiling(n_cells, level, Closest(*where, excess, band_low))
