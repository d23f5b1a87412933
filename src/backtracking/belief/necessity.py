"""Is a direction necessary for acting, and is it for the report? It is projected out to see.

At points that are over, without a donor: does P(backtrack) fall when the direction is taken out of
the residual stream, more than when random ones are, and does the model go on to report "over"?
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtracking.belief.doses import Direction
from backtracking.belief.measure import Plan, random_at
from backtracking.belief.readouts import Questions, Readouts, ask
from backtracking.belief.tables import named
from backtracking.belief.tails import SPANS, Edit, Span, clean
from backtracking.domains.organism.donors import Item
from backtracking.models.loading import LoadedModel
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect
from lifeboat.stage import progress

REPORT_KEPT = 0.5
"""Share of the clean report's log-odds that has to be left for the report to be said to stay."""

Null = Mapping[tuple[int, Span], tuple[float, ...]]
"""By layer and edit set: what projecting random directions out does to P(backtrack)."""


def project(
    plan: Plan,
    loaded: LoadedModel,
    role: str,
    items: Sequence[Item],
    directions: Sequence[Direction],
    words: Questions,
    bootstrap: Bootstrap,
    null: Null | None = None,
) -> tuple[list[dict[str, Any]], Null]:
    """One row per direction, layer and edit set, and the null that they were held against.

    Args:
        plan: sizes.
        loaded: the model.
        role: its role.
        items: points that are over.
        directions: what is projected out, at their layers.
        words: see `Questions`.
        bootstrap: resamples and level.
        null: known already; else the plan's random directions are projected out as well.
    """
    layers = sorted({one.layer for one in directions})
    randoms = random_at(plan, loaded.d_model, layers) if null is None else []
    keys: list[tuple[Direction, Span]] = [(one, span) for one in directions for span in SPANS]
    rows = [clean(loaded)]
    rows += [Edit("project", one.layer, one.unit, span) for one, span in keys]
    rows += [Edit("project", one.layer, one.unit, "E1") for one in randoms]
    with progress.bar(f"projecting out of {role}", len(items), "points") as advance:
        found = ask(loaded, items, words, rows, 0, plan.rows_per_batch, advance).arms
    problems = [item.problem_id for item in items]
    if null is None:
        null = _null(found, randoms)
    return [
        {"role": role, "direction": one.name, "layer": one.layer, "span": span}
        | necessity_of(found, row, null[one.layer, span], problems, bootstrap)
        for row, (one, span) in enumerate(keys, start=1)
    ], null


def necessity_of(
    found: Readouts,
    row: int,
    null: Sequence[float],
    problems: Sequence[str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """What taking one direction out does; row 0 of the readouts is the clean run.

    *falls*: P(backtrack) falls, by more than under 95 % of random directions. *stays*: the report's
    log-odds keep half of their mean, by the lower end of the ratio's interval. The direction is
    *necessary* for acting alone where both hold.
    """
    p, b = found.p_backtrack[[0, row]], found.b[[0, row]]
    (change,) = bootstrap.intervals(p[1] - p[0], problems)
    (kept,) = bootstrap.intervals(b.T, problems, _second_over_first)
    effect = Effect(change, tuple(null), sign=-1)
    falls = effect.exceeds_random()
    stays = "untestable" if kept.low is None else "holds" if kept.low > REPORT_KEPT else "fails"
    return (
        {"p_backtrack": float(p[0].mean()), "report": float(b[0].mean())}
        | named("change", change)
        | {"null": effect.bound, "p": effect.p}
        | named("report_kept", kept)
        | {"falls": falls, "report_stays": stays, "n": change.n}
    )


def _null(found: Readouts, randoms: Sequence[Direction]) -> Null:
    """Effects of the last rows. P(backtrack) is read where both edit sets are the same edit."""
    first = len(found.p_backtrack) - len(randoms)
    change = (found.p_backtrack[first:] - found.p_backtrack[0]).mean(axis=1)
    null: dict[tuple[int, Span], tuple[float, ...]] = {}
    for one, value in zip(randoms, change.tolist(), strict=True):
        for span in SPANS:
            null[one.layer, span] = (*null.get((one.layer, span), ()), value)
    return null


def _second_over_first(means: np.ndarray) -> np.ndarray:
    return means[:, 1:] / np.where(means[:, :1] > 0, means[:, :1], np.nan)
