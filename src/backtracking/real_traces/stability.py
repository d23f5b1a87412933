"""Do sentences that begin with "Wait" come back when the model writes on from the same prefix?

The source cut each trace before every sentence, had the model write on some hundred times, and
counted the next sentences that begin with "Wait".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.records.imported import ImportedTrace
from backtracking.records.rows.real_traces import OneMoreDraw, Place, Stability, StabilityBin
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.draws import (
    DRAWS,
    LEAST,
    Cells,
    fewer_of,
    rates_behind,
    share_below,
)

WAIT = "wait"
"""With a capital, what the source counts."""

HALF, MOST = 0.5, 0.8
"""Shares of continuations below which an event does not come back; 2604.02113 has the second."""

N_BINS = 10


@dataclass(frozen=True)
class Position:
    """A prefix of a trace, what stands after it, and what was written after it again.

    Attributes:
        trace_id: the trace.
        is_event: whether the sentence that stands there begins with "Wait".
        opens_line: whether it begins a line.
        k, n: continuations that begin with "Wait", and all.
    """

    trace_id: str
    is_event: bool
    opens_line: bool
    k: int
    n: int


Chosen = Callable[[Position], bool]

PLACES: dict[Place, Chosen] = {
    "any": lambda one: True,
    "opens a line": lambda one: one.opens_line,
    "within a line": lambda one: not one.opens_line,
}


def positions_of(traces: Sequence[ImportedTrace]) -> list[Position]:
    """All prefixes from which a model wrote on again."""
    return [one for trace in traces for one in _positions(trace)]


def _positions(trace: ImportedTrace) -> Iterator[Position]:
    for sentence in trace.annotations[0].sentences if trace.annotations else ():
        if sentence.n_resamples and sentence.n_resamples_wait is not None:
            before = trace.written[: sentence.start or 0]
            yield Position(
                trace.trace_id,
                sentence.text.startswith(WAIT.capitalize()),
                not before or before.endswith("\n"),
                sentence.n_resamples_wait,
                sentence.n_resamples,
            )


def stability(positions: Sequence[Position], bootstrap: Bootstrap) -> list[Stability]:
    """The sentences that begin with "Wait", by where they stand, and beside them all others."""
    rows = [
        _stability([one for one in positions if one.is_event and chosen(one)], place, bootstrap)
        for place, chosen in PLACES.items()
    ]
    others = [one for one in positions if not one.is_event]
    return [*rows, _stability(others, "any", bootstrap)]


def _stability(found: Sequence[Position], place: Place, bootstrap: Bootstrap) -> Stability:
    cells = _cells(found)

    def measure(share: np.ndarray) -> np.ndarray:
        mass = rates_behind(cells.k, cells.n, share)
        columns = [
            share @ cells.rate,
            cells.median(share),
            share @ (cells.rate < HALF),
            share @ (cells.rate < MOST),
            share_below(mass, HALF),
            share_below(mass, MOST),
            cells.unstable(share),
            share @ (cells.k == 0),
        ]
        return np.stack(columns, axis=1)

    intervals = bootstrap.intervals(cells.rows, [one.trace_id for one in found], measure)
    n_traces = len({one.trace_id for one in found})
    begins = WAIT if found[0].is_event else "other"
    return Stability(begins, place, len(found), n_traces, *intervals)


def distribution(positions: Sequence[Position], bootstrap: Bootstrap) -> list[StabilityBin]:
    """Of all sentences that begin with "Wait", how many lie in each tenth of the scale."""
    found = [one for one in positions if one.is_event]
    cells = _cells(found)
    ends = np.linspace(0, 1, N_BINS + 1).round(9)

    def measure(share: np.ndarray) -> np.ndarray:
        below = np.stack([share @ (cells.rate < end) for end in ends[1:-1]], axis=1)
        return np.diff(below, axis=1, prepend=0, append=1)

    intervals = bootstrap.intervals(cells.rows, [one.trace_id for one in found], measure)
    return [
        StabilityBin(float(low), float(high), share)
        for low, high, share in zip(ends[:-1], ends[1:], intervals, strict=True)
    ]


def one_more_draw(positions: Sequence[Position], bootstrap: Bootstrap) -> list[OneMoreDraw]:
    """By place: how many sentences begin with "Wait", and how many the continuations expect to."""
    return [
        _one_more_draw([one for one in positions if chosen(one)], place, bootstrap)
        for place, chosen in PLACES.items()
    ]


def _one_more_draw(found: Sequence[Position], place: Place, bootstrap: Bootstrap) -> OneMoreDraw:
    k, n = np.array([one.k for one in found]), np.array([one.n for one in found])
    p = k / n
    is_event = np.array([one.is_event for one in found], dtype=float)
    # An event is p times as likely to stand in a trace as it is after its prefix.
    rare = _is_event_and_fewer_repeat(k, n)
    columns = np.stack([p, is_event, p**2, p * (p < HALF), p * (p < MOST), rare], axis=1)
    intervals = bootstrap.intervals(columns, [one.trace_id for one in found], _per_expected)
    n_wait = int(is_event.sum())
    return OneMoreDraw(place, len(found), n_wait, float(p.sum()), *intervals)


def _is_event_and_fewer_repeat(
    k: Int[np.ndarray, " rows"], n: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """P(a draw is an event, and fewer than `LEAST` of `DRAWS` others are), without replacement."""
    return k / n * fewer_of((k - 1).clip(min=0), n - 1, DRAWS, LEAST)


def _per_expected(means: Float[np.ndarray, "n 6"]) -> Float[np.ndarray, "n 5"]:
    expected, events = means[:, 0], means[:, 1]
    ratio = np.divide(expected, events, out=np.full_like(events, np.nan), where=events > 0)
    rest = np.divide(
        means[:, 2:].T, expected, out=np.full((4, len(means)), np.nan), where=expected > 0
    )
    return np.stack([ratio, *rest], axis=1)


def _cells(found: Sequence[Position]) -> Cells:
    return Cells.of(np.array([one.k for one in found]), np.array([one.n for one in found]))
