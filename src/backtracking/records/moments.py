"""Sentences as parallel arrays, and their activations as rows of a contrast."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from backtracking.records.traces import Sentence, Trace


@dataclass(frozen=True)
class Moments:
    """One row per sentence of one labeller.

    Attributes:
        trace: row of the trace in traces.jsonl.
        problem: id of the problem.
        problem_number: the problem's number within its split, in sorted order.
        split: the problem's split.
        start, end: half-open token range in `Trace.ids`.
        label: sentence state.
        form, kind, action, total: what is exactly known (the organism), else empty or 0: the
            sentence's form, the true kind of the search position, what the trace did next after a
            comparison, and the true running total.
    """

    trace: Int[np.ndarray, " n"]
    problem: Shaped[np.ndarray, " n"]
    problem_number: Int[np.ndarray, " n"]
    split: Shaped[np.ndarray, " n"]
    start: Int[np.ndarray, " n"]
    end: Int[np.ndarray, " n"]
    label: Shaped[np.ndarray, " n"]
    form: Shaped[np.ndarray, " n"]
    kind: Shaped[np.ndarray, " n"]
    action: Shaped[np.ndarray, " n"]
    total: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.trace)

    def __getitem__(self, rows: np.ndarray) -> "Moments":
        """The chosen rows, by mask or by number."""
        return Moments(*(getattr(self, field.name)[rows] for field in fields(self)))


def read_moments(
    traces: Sequence[Trace], sentences: Sequence[Sentence], labeller: str = "exact"
) -> Moments:
    """The sentences of one labeller in their order."""
    row_by_trace = {trace.trace_id: row for row, trace in enumerate(traces)}
    chosen = [sentence for sentence in sentences if sentence.labeller == labeller]
    number = _problem_numbers(traces)
    rows = [row_by_trace[sentence.trace_id] for sentence in chosen]
    truths = [sentence.truth for sentence in chosen]
    return Moments(
        trace=np.array(rows, dtype=np.int64),
        problem=np.array([traces[row].problem_id for row in rows], dtype=object),
        problem_number=np.array([number[traces[row].problem_id] for row in rows], dtype=np.int64),
        split=np.array([traces[row].split for row in rows], dtype=object),
        start=np.array([sentence.start for sentence in chosen], dtype=np.int64),
        end=np.array([sentence.end for sentence in chosen], dtype=np.int64),
        label=np.array([sentence.label for sentence in chosen], dtype=object),
        form=np.array([truth.get("form") or "" for truth in truths], dtype=object),
        kind=np.array([truth.get("kind") or "" for truth in truths], dtype=object),
        action=np.array([truth.get("action") or "" for truth in truths], dtype=object),
        total=np.array([truth.get("true_total") or 0 for truth in truths], dtype=np.int64),
    )


def _problem_numbers(traces: Sequence[Trace]) -> dict[str, int]:
    """Each problem's number among the problems of its split."""
    found: dict[str, int] = {}
    for split in {trace.split for trace in traces}:
        names = sorted({trace.problem_id for trace in traces if trace.split == split})
        found |= {name: number for number, name in enumerate(names)}
    return found


def is_decision(moments: Moments) -> Bool[np.ndarray, " n"]:
    """Which sentences are comparisons, at whose last token the next action is decided."""
    return moments.form == "compare"


def strata(
    totals: Int[np.ndarray, " n"], edges: Float[np.ndarray, " edges"]
) -> Int[np.ndarray, " n"]:
    """Stratum of each running total, counted from 0."""
    return np.searchsorted(edges, totals, side="right")
