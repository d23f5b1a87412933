"""How well a labeller finds backtracking by an annotator's labels, with intervals by trace."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.labels.annotators import Annotator, annotation_of, speechless
from backtracking.labels.passages import Labeller, annotated_passage
from backtracking.labels.schemes import state_of, wider
from backtracking.records.imported import Annotation, ImportedTrace
from backtracking.records.intervals import Interval
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError

MEASURES = ("kappa", "f1", "precision", "recall")
"""Columns of `event_measures`."""


@dataclass(frozen=True)
class Intervals:
    """The measures with their intervals; `n` of each is the number of traces."""

    kappa: Interval
    f1: Interval
    precision: Interval
    recall: Interval


@dataclass(frozen=True)
class Scores:
    """Agreement on backtracking against everything else; None where undefined.

    Attributes:
        labeller, against: who was scored, and by whose labels.
        annotators: their names, where `against` is a kind.
        kappa: Cohen's.
        f1, precision, recall: of backtracking, the annotator's labels taken as true.
        n: sentences that both labelled.
        n_traces: traces that they are from.
        n_positive: sentences that backtrack by the annotator.
        n_called: those that do by the labeller.
        wider: what the annotators' backtracking is, where it is a wider thing; else empty.
        intervals: the same measures, with percentile intervals over traces.
    """

    labeller: str
    against: str
    annotators: tuple[str, ...]
    kappa: float | None
    f1: float | None
    precision: float | None
    recall: float | None
    n: int
    n_traces: int
    n_positive: int
    n_called: int
    wider: str
    intervals: Intervals


@dataclass(frozen=True)
class Compared:
    """One trace's sentences that labeller and annotator both labelled.

    Attributes:
        trace_id: the trace.
        annotator: by whom.
        true, called: whether each backtracks, by the annotator and by the labeller.
        wider: what the annotator's backtracking is, where it is a wider thing.
    """

    trace_id: str
    annotator: str
    true: tuple[bool, ...]
    called: tuple[bool, ...]
    wider: str


def score(
    traces: Sequence[ImportedTrace], labeller: Labeller, against: str, bootstrap: Bootstrap
) -> Scores:
    """Scores a labeller on the annotator's own sentences.

    Args:
        traces: those without labels of the annotator are left out, and those whose labels are the
            labeller's own.
        labeller: who is scored.
        against: `human`, `judge` or an annotator's name; of several of a kind in one trace the
            first counts.
        bootstrap: of the intervals, by trace.

    Raises:
        UserError: where no sentence has the labels of both.
    """
    compared = [one for trace in traces for one in _compared(trace, labeller, against)]
    if not compared:
        names = sorted({one.name for trace in traces for one in trace.annotations})
        raise UserError(
            speechless(traces, against)
            or f"No sentence was labelled by both {labeller.name} and {against}.",
            f"Annotators of these traces: {', '.join(names) or 'none'}.",
        )
    cells = np.concatenate([_cells(one) for one in compared])
    trace_ids = [one.trace_id for one in compared for _ in one.true]
    found = bootstrap.intervals(cells, trace_ids, event_measures)
    return Scores(
        labeller.name,
        against,
        tuple(sorted({one.annotator for one in compared})),
        *(one.value for one in found),
        n=len(cells),
        n_traces=len(set(trace_ids)),
        n_positive=sum(sum(one.true) for one in compared),
        n_called=sum(sum(one.called) for one in compared),
        wider="; ".join(sorted({one.wider for one in compared if one.wider})),
        intervals=Intervals(*found),
    )


def event_measures(cells: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Kappa, F1, precision and recall of each of n tables; NaN where undefined.

    Args:
        cells: counts or shares of sentences: both, the annotator alone, the labeller alone, none.
    """
    both, missed, wrong, neither = cells.T
    true, called, n = both + missed, both + wrong, cells.sum(axis=1)
    by_chance = true * called + (n - true) * (n - called)
    agreed = n * (both + neither)
    return np.stack(
        [
            _ratio(agreed - by_chance, n**2 - by_chance),
            _ratio(2 * both, true + called),
            _ratio(both, called),
            _ratio(both, true),
        ],
        axis=1,
    )


def _compared(trace: ImportedTrace, labeller: Labeller, against: str) -> list[Compared]:
    """The trace's comparison, if there is any."""
    annotation = annotation_of(trace, against)
    if annotation is None or _is_by(labeller, trace, annotation):
        return []
    true = [state_of(one) for one in annotation.sentences]
    called = labeller.label(annotated_passage(trace, annotation))
    both = [(a, b) for a, b in zip(true, called, strict=True) if a is not None and b is not None]
    if not both:
        return []
    events = [
        tuple(state == "backtracking" for state in states) for states in zip(*both, strict=True)
    ]
    return [Compared(trace.trace_id, annotation.name, events[0], events[1], wider(annotation))]


def _is_by(labeller: Labeller, trace: ImportedTrace, annotation: Annotation) -> bool:
    """Whether labels are the labeller's own, by which nobody is scored."""
    return isinstance(labeller, Annotator) and labeller.by_trace.get(trace.trace_id) is annotation


def _cells(one: Compared) -> Float[np.ndarray, "sentences 4"]:
    true, called = np.array(one.true), np.array(one.called)
    return np.stack(
        [true & called, true & ~called, ~true & called, ~true & ~called], axis=1
    ).astype(np.float64)


def _ratio(part: Float[np.ndarray, " n"], whole: Float[np.ndarray, " n"]) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=np.abs(whole) > 1e-12)
