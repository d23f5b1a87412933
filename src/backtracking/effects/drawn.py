"""P(backtracking) by drawn sentences: its place in the runs, its tables, its calibration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from backtracking.effects.seen import Cases, Seen, key_of
from backtracking.records.drawn import N_DRAWS, N_OPENED_TURNED, N_TURNED, Drawn
from backtracking.records.intervals import Interval
from backtracking.records.measured import P_BACK, P_OPEN, Array, Measured
from backtracking.records.openers import Openers
from backtracking.records.rows.drawn import Calibration, DrawnShare, Frozen
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import is_legal

LEAST_VARIANCE = 1e-6
"""Of P(an opener) over decisions, for a slope to be anything: a deviation of 0.001."""

ADDED = "test"
"""The run of added doses, of which some are drawn: it stays as it was measured."""


def with_drawn(measured: Iterable[Measured], drawn: Iterable[Drawn]) -> list[Measured]:
    """The runs, P(backtracking) being that of the draws where nothing reads it exactly.

    A run that was drawn has the decisions at which it was, and no others. That of added doses, of
    which a few are drawn, is not changed: all its doses are read alike.
    """
    counts = {(one.counts.run, one.counts.target): one.counts for one in drawn}
    return [_filled(one, counts.get((one.run, one.target))) for one in measured]


def at_draws(measured: Measured, counts: Measured) -> Measured:
    """A run at the decisions at which it was drawn, P(backtracking) being that of the draws."""
    column = {name: at for at, name in enumerate(measured.decisions)}
    columns = [column[name] for name in counts.decisions]
    arrays = {
        name: Array(one.axis, one.values[:, columns]) if one.axis == "decisions" else one
        for name, one in measured.arrays.items()
    }
    back = np.full((len(measured.arms), len(columns)), np.nan)
    row = {arm: at for at, arm in enumerate(measured.arms)}
    back[[row[arm] for arm in counts.arms]] = _share(counts, N_TURNED, N_DRAWS)
    arrays[P_BACK] = Array("decisions", back)
    return replace(measured, arrays=arrays, decisions=counts.decisions)


def tabulate_drawn(
    seen: Mapping[tuple[str, str], Seen],
    drawn: Sequence[Drawn],
    cases: Cases,
    bootstrap: Bootstrap,
) -> list[DrawnShare]:
    """One row an arm and case of every run that was drawn.

    Args:
        seen: all drawn runs at their draws, by run and target.
        drawn: what was drawn.
        cases: of decisions.
        bootstrap: resamples and level.
    """
    rows = []
    for one in drawn:
        run, counts = seen[one.counts.run, one.counts.target], one.counts
        for case in cases.listed:
            chosen = case.mask(run.decisions)
            if not chosen.any():
                continue
            p, problems = _share(counts, N_TURNED, N_DRAWS)[:, chosen].T, run.problems(case)
            levels = bootstrap.intervals(p, problems)
            effects = bootstrap.intervals(p - p[:, :1], problems)
            for at, arm in enumerate(counts.arms):
                n = counts.values(N_DRAWS)[at, chosen]
                legal, is_drawn = run.legal(arm, case), ~np.isnan(n)
                if is_drawn.any():
                    row = DrawnShare(
                        counts.run, key_of(run.target, arm), case.name, levels[at], effects[at],
                        int(is_drawn.sum()), int(np.nansum(n)),
                        _coverage(counts, at, chosen, problems, bootstrap), legal,
                        "" if is_legal(legal) else "no test",
                    )  # fmt: skip
                    rows.append(row)
    return rows


def calibrate(
    seen: Mapping[tuple[str, str], Seen], drawn: Sequence[Drawn], bootstrap: Bootstrap
) -> list[Calibration]:
    """One row an arm of every run that was drawn; arguments as in `tabulate_drawn`."""
    rows = []
    for one in drawn:
        run, counts = seen[one.counts.run, one.counts.target], one.counts
        opens = run.measured.values(P_OPEN)
        row = {arm: at for at, arm in enumerate(run.arms)}
        back = _share(counts, N_TURNED, N_DRAWS)
        base = _moments(opens[0], back[0])
        for at, arm in enumerate(counts.arms):
            here = _moments(opens[row[arm]], back[at])
            is_read = ~np.isnan(here).any(axis=1)
            both = np.concatenate([here, base], axis=1)[is_read]
            problems = list(run.decisions.problem[is_read])
            slope, r2, ratio = bootstrap.intervals(both, problems, _line)
            n = counts.values(N_DRAWS)[at, is_read]
            key, ceiling = key_of(run.target, arm), _ceiling(back[at, is_read], n)
            found = (int(is_read.sum()), slope, r2, ceiling, ratio)
            rows.append(Calibration(counts.run, key, *found))
    return rows


def tabulate_openers(
    openers: Openers, seen: Mapping[tuple[str, str], Seen], drawn: Sequence[Drawn],
    bootstrap: Bootstrap,
) -> Frozen:  # fmt: skip
    """What was frozen on dev, with its coverage on test problems."""
    covered = Interval(None, None, None, 0)
    for one in drawn:
        run, counts = seen[one.counts.run, one.counts.target], one.counts
        if run.target == openers.role and covered.value is None:
            every = np.ones(len(counts.decisions), dtype=bool)
            problems = list(run.decisions.problem)
            covered = _coverage(counts, 0, every, problems, bootstrap)
    return Frozen(
        openers.role, openers.labeller, openers.n_decisions, openers.n, openers.n_turned,
        openers.counts, openers.kept, openers.coverage, covered, openers.is_usable,
    )  # fmt: skip


def _filled(measured: Measured, counts: Measured | None) -> Measured:
    is_exact = P_BACK in measured.arrays and not np.isnan(measured.values(P_BACK)[0]).all()
    if counts is None or is_exact or measured.run == ADDED:
        return measured
    return at_draws(measured, counts)


def _share(counts: Measured, part: str, whole: str) -> Float[np.ndarray, "arms decisions"]:
    n = counts.values(whole)
    return np.divide(counts.values(part), n, out=np.full(n.shape, np.nan), where=n > 0)


def _coverage(
    counts: Measured, arm: int, chosen: np.ndarray, problems: Sequence[str], bootstrap: Bootstrap
) -> Interval:
    """Share of the turns that an opener begins, a ratio of sums."""
    names = (N_OPENED_TURNED, N_TURNED)
    both = np.stack([counts.values(name)[arm, chosen] for name in names], axis=1)
    return bootstrap.intervals(both, problems, lambda means: _ratio(means[:, :1], means[:, 1:]))[0]


def _moments(
    x: Float[np.ndarray, " decisions"], y: Float[np.ndarray, " decisions"]
) -> Float[np.ndarray, "decisions moments"]:
    return np.stack([x, y, x * x, x * y, y * y], axis=1)


def _line(means: np.ndarray) -> np.ndarray:
    """Slope and R2 of the first five moments, and the slope over that of the last five."""
    slope, r2 = _fit(means[:, :5])
    other, _ = _fit(means[:, 5:])
    return np.concatenate([slope, r2, _ratio(slope, other)], axis=1)


def _fit(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y, xx, xy, yy = (means[:, at : at + 1] for at in range(5))
    varies = xx - x * x
    varies = np.where(varies > LEAST_VARIANCE, varies, np.nan)
    together = xy - x * y
    return together / varies, _ratio(together**2, varies * (yy - y * y))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    is_defined = np.isfinite(whole) & (np.abs(whole) > 1e-12)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=is_defined)


def _ceiling(share: np.ndarray, n: np.ndarray) -> float | None:
    """What is left of the share's variance without that of its draws, over the whole."""
    if len(share) < 2 or (n < 2).any() or share.var() <= LEAST_VARIANCE:
        return None
    noise = (share * (1 - share) / (n - 1)).mean()
    left = 1 - noise / share.var()
    return float(left) if left > 0 else None
