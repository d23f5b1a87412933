"""The matched neutral contrast: every event beside a point of the same trace that is like it.

For natural text without kinds: the contrast `event`. What an event has beside what it is, its
place, its last token, the sort and the length of its sentence, its neutral point has too, so that a
direction between the two is of none of these. With one neutral point each, the difference of means
is the mean of the differences of pairs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from scipy.optimize import linear_sum_assignment

from backtracking.records.sentences import Decision, Matching, Sentence
from backtracking.records.traces import Trace

Sort = Literal["question", "equation", "statement"]

_EQUATION = re.compile(r"\d[^\n]*(?:=|≈|\\approx)|(?:=|≈|\\approx)[^\n]*\d")


@dataclass(frozen=True)
class Like:
    """What has to be alike in both points of a pair.

    Attributes:
        within: tokens between them, at most.
        longer: by what share of the event's sentence the other's may be longer or shorter.
        apart: sentences between the neutral point and any event, more than.
    """

    within: int = 300
    longer: float = 0.3
    apart: int = 2


@dataclass(frozen=True)
class Candidates:
    """Points of traces, in any order.

    Attributes:
        trace: number of the trace.
        index: number of the sentence that ends there.
        position: of the deciding token.
        token: id of the deciding token.
        length: tokens of the sentence.
        sort: of the sentence.
        is_event: whether the next sentence backtracks.
    """

    trace: Int[np.ndarray, " n"]
    index: Int[np.ndarray, " n"]
    position: Int[np.ndarray, " n"]
    token: Int[np.ndarray, " n"]
    length: Int[np.ndarray, " n"]
    sort: Sequence[Sort]
    is_event: Bool[np.ndarray, " n"]


@dataclass(frozen=True)
class Matched:
    """Pairs of points.

    Attributes:
        event, neutral: rows of each pair.
        n_unmatched: events without a neutral point, which take no part.
    """

    event: Int[np.ndarray, " pairs"]
    neutral: Int[np.ndarray, " pairs"]
    n_unmatched: int


def with_events(
    decisions: Sequence[Decision], sentences: Sequence[Sentence], traces: Sequence[Trace]
) -> tuple[list[Decision], int]:
    """The decisions, events and their neutral points named, and how many events have none.

    Args:
        decisions: of all traces.
        sentences: of all traces.
        traces: whose ids they are of.
    """
    number = {trace.trace_id: at for at, trace in enumerate(traces)}
    text = {(one.trace_id, one.index): one.text for one in sentences}
    rows = [number[one.trace_id] for one in decisions]
    points = Candidates(
        trace=np.array(rows, dtype=np.int64),
        index=np.array([one.index for one in decisions], dtype=np.int64),
        position=np.array([one.position for one in decisions], dtype=np.int64),
        token=np.array(
            [traces[row].ids[one.position] for row, one in zip(rows, decisions, strict=True)],
            dtype=np.int64,
        ),
        length=np.array([one.position + 1 - one.start for one in decisions], dtype=np.int64),
        sort=[sort_of(text[one.trace_id, one.index]) for one in decisions],
        is_event=np.array([one.action == "turns" for one in decisions], dtype=bool),
    )
    found = match(points, Like())
    name: dict[int, Matching] = dict.fromkeys(found.event.tolist(), "event")
    name |= dict.fromkeys(found.neutral.tolist(), "neutral")
    named = [replace(one, event=name.get(row)) for row, one in enumerate(decisions)]
    return named, found.n_unmatched


def sort_of(sentence: str) -> Sort:
    """A question, a sentence with an equation of numbers, or any other."""
    if sentence.rstrip().rstrip("\"'”’)*_").endswith(("?", "？")):
        return "question"
    return "equation" if _EQUATION.search(sentence) else "statement"


def match(points: Candidates, like: Like) -> Matched:
    """One neutral point for each event, none of them twice.

    As many events are matched as can be: the pairs are a largest matching, and of these one with
    the least distances.
    """
    pairs: list[tuple[int, int]] = []
    n_events = 0
    for trace in np.unique(points.trace).tolist():
        here = np.flatnonzero(points.trace == trace)
        events, others = here[points.is_event[here]], here[~points.is_event[here]]
        n_events += len(events)
        if not (len(events) and len(others)):
            continue
        distance = np.abs(points.position[events][:, None] - points.position[others])
        fits = _fits(points, events, others, like) & (distance <= like.within)
        none = (distance.max() + 1.0) * (len(here) + 1)
        rows, columns = linear_sum_assignment(np.where(fits, distance, none))
        chosen = fits[rows, columns]
        pairs += zip(events[rows[chosen]].tolist(), others[columns[chosen]].tolist(), strict=True)
    event, neutral = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    return Matched(event, neutral, n_events - len(event))


def _fits(
    points: Candidates, events: Int[np.ndarray, " a"], others: Int[np.ndarray, " b"], like: Like
) -> Bool[np.ndarray, "a b"]:
    """Which of the others is like which event, and far enough from all events of the trace."""
    lengths = points.length[events][:, None].astype(float)
    sort = np.array(points.sort, dtype=object)
    apart = np.abs(points.index[others][:, None] - points.index[events]).min(axis=1) > like.apart
    return (
        (points.token[events][:, None] == points.token[others])
        & (sort[events][:, None] == sort[others])
        & (np.abs(points.length[others] - lengths) <= like.longer * lengths)
        & apart
    )
