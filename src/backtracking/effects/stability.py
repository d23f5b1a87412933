"""What regenerated events say together: how many come back, and how many at dead ends."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from backtracking.records.events import Event
from backtracking.records.rows.measures import EventMeasure
from backtracking.records.sentences import Kind
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.draws import Cells

GROUPS = ("keyword", "backtracking")
"""Events as a keyword finds them, and true ones."""


def measure_stability(
    events: Sequence[Event], kinds: Sequence[Kind], threshold: float, bootstrap: Bootstrap
) -> list[EventMeasure]:
    """Stability of events by the model that went on, by how they were found, and by kind.

    With intervals by problem. `not_reproduced` is the share of events less than `threshold` of
    whose continuations backtrack; `unstable` that of events which fewer than 8 of 10 continuations
    repeat (`statistics.draws`), however many there were; `dead` is the share of the weight that
    lies at recognisable dead ends, counted and weighted. Where no kind is known, what rests on
    kinds has no row.

    Args:
        events: all events, by every model.
        kinds: the domain's kinds of decisions.
        threshold: an event comes back from this share on.
        bootstrap: resamples and level.
    """
    return [
        row
        for role in dict.fromkeys(event.role for event in events)
        for group in GROUPS
        for row in _measure_group(
            role,
            group,
            [e for e in events if e.role == role and getattr(e, f"is_{group}")],
            kinds,
            threshold,
            bootstrap,
        )
    ]


def _measure_group(
    role: str,
    group: str,
    events: Sequence[Event],
    kinds: Sequence[Kind],
    threshold: float,
    bootstrap: Bootstrap,
) -> list[EventMeasure]:
    found = [event for event in events if event.stability is not None]
    if not found:
        return []
    problems = [event.problem_id for event in found]
    stability = np.array([event.stability for event in found], dtype=float)
    columns = {
        "stability": stability,
        "not_reproduced": (stability < threshold).astype(float),
        "never_reproduced": (stability == 0).astype(float),
    } | _columns_by_kind(found, stability, kinds)
    intervals = bootstrap.intervals(np.stack(list(columns.values()), axis=1), problems)
    rows = [
        EventMeasure(role, f"{group}_{name}", interval)
        for name, interval in zip(columns, intervals, strict=True)
    ]
    cells = Cells.of(np.array([e.n_backtracking for e in found]), np.array([e.n for e in found]))
    (unstable,) = bootstrap.intervals(
        cells.rows, problems, lambda share: cells.unstable(share)[:, None]
    )
    rows.append(EventMeasure(role, f"{group}_unstable", unstable))
    if "dead" in columns and stability.sum() > 0:
        weighted = np.stack([stability * columns["dead"], stability], axis=1)
        (interval,) = bootstrap.intervals(weighted, problems, _ratio)
        rows.append(EventMeasure(role, f"{group}_dead_weighted", interval))
    return rows


def _columns_by_kind(
    events: Sequence[Event], stability: Float[np.ndarray, " n"], kinds: Sequence[Kind]
) -> dict[str, Float[np.ndarray, " n"]]:
    """Which events lie at recognisable dead ends, and the stability of those of each kind."""
    if not kinds:
        return {}
    kind = np.array([event.kind for event in events], dtype=object)
    dead = [one.name for one in kinds if one.standing == "dead" and one.visible]
    return {"dead": np.isin(kind, dead).astype(float)} | {
        f"stability_{one.name}": np.where(kind == one.name, stability, np.nan)
        for one in kinds
        if (kind == one.name).any()
    }


def _ratio(means: np.ndarray) -> np.ndarray:
    undefined = np.full(len(means), np.nan)
    return np.divide(means[:, 0], means[:, 1], out=undefined, where=means[:, 1] > 0)[:, None]
