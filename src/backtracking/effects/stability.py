"""What regenerated events say together: do events come back, and is it at dead ends that they do?"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backtracking.records.decisions import Kind
from backtracking.records.events import Event
from backtracking.statistics.bootstrap import Bootstrap

GROUPS = ("keyword", "backtracking")
"""Events as a keyword finds them, and true ones."""


def measure_stability(
    events: Sequence[Event], kinds: Sequence[Kind], threshold: float, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Stability of events by the model that went on, by how they were found, and by kind.

    With intervals by problem. `not_reproduced` is the share of events less than `threshold` of
    whose continuations backtrack; `dead` is the share of the weight that lies at recognisable dead
    ends, counted and weighted. Where no kind is known, what rests on kinds has no row.

    Args:
        events: all events, by every model.
        kinds: the domain's kinds of decisions.
        threshold: an event comes back from this share on.
        bootstrap: resamples and level.
    """
    return [
        {"role": role} | row
        for role in dict.fromkeys(event.role for event in events)
        for group in GROUPS
        for row in _measure_group(
            group,
            [e for e in events if e.role == role and getattr(e, f"is_{group}")],
            kinds,
            threshold,
            bootstrap,
        )
    ]


def _measure_group(
    group: str,
    events: Sequence[Event],
    kinds: Sequence[Kind],
    threshold: float,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    found = [event for event in events if event.stability is not None]
    if not found:
        return []
    problems = [event.problem_id for event in found]
    stability = np.array([event.stability for event in found], dtype=float)
    kind = np.array([event.kind for event in found], dtype=object)
    dead = np.isin(kind, [one.name for one in kinds if one.standing == "dead" and one.visible])
    columns = {
        f"{group}_stability": stability,
        f"{group}_not_reproduced": (stability < threshold).astype(float),
        f"{group}_never_reproduced": (stability == 0).astype(float),
    }
    if kinds:
        columns[f"{group}_dead"] = dead.astype(float)
    columns |= {
        f"{group}_stability_{one.name}": np.where(kind == one.name, stability, np.nan)
        for one in kinds
        if (kind == one.name).any()
    }
    intervals = bootstrap.intervals(np.stack(list(columns.values()), axis=1), problems)
    rows = [
        {"measure": name} | asdict(interval)
        for name, interval in zip(columns, intervals, strict=True)
    ]
    if kinds and stability.sum() > 0:
        weighted = np.stack([stability * dead, stability], axis=1)
        (interval,) = bootstrap.intervals(weighted, problems, _ratio)
        rows.append({"measure": f"{group}_dead_weighted"} | asdict(interval))
    return rows


def _ratio(means: np.ndarray) -> np.ndarray:
    undefined = np.full(len(means), np.nan)
    return np.divide(means[:, 0], means[:, 1], out=undefined, where=means[:, 1] > 0)[:, None]
