"""The labeller that is an annotator: a human or a judge whose labels stand beside the traces."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from backtracking.labels.passages import Passage
from backtracking.labels.schemes import state_of, tells_backtracking
from backtracking.records.imported import Annotation, ImportedTrace
from backtracking.records.sentences import State
from backtracking.records.spans import TextSpan


class _Placed(NamedTuple):
    span: TextSpan
    state: State | None


@dataclass(frozen=True)
class Annotator:
    """The labels of one annotator, or of the first of a kind in each trace.

    Attributes:
        name: `human`, `judge` or an annotator's name.
        by_trace: the annotation of every trace that has one.
    """

    name: str
    by_trace: Mapping[str, Annotation]

    @classmethod
    def of(cls, traces: Sequence[ImportedTrace], name: str) -> "Annotator":
        """The annotator of some traces; where it labelled none, `by_trace` is empty."""
        found = {trace.trace_id: annotation_of(trace, name) for trace in traces}
        return cls(name, {key: one for key, one in found.items() if one is not None})

    def label(self, passage: Passage) -> Sequence[State | None]:
        """What the annotator says of each sentence, whose own sentences may be others.

        A sentence backtracks where one that does has more than half of the shorter of the two;
        else it has the state of what overlaps it most, and none where nothing does.
        """
        annotation = self.by_trace.get(passage.trace_id)
        if annotation is None:
            return [None] * len(passage.texts)
        if passage.spans is None:
            if tuple(one.text for one in annotation.sentences) != passage.texts:
                return [None] * len(passage.texts)
            return [state_of(one) for one in annotation.sentences]
        return _by_overlap(passage, annotation)


def annotation_of(trace: ImportedTrace, name: str) -> Annotation | None:
    """The first annotation of a kind or of a name whose labels can tell backtracking."""
    return next(
        (
            one
            for one in trace.annotations
            if name in (one.name, one.kind) and tells_backtracking(one)
        ),
        None,
    )


def speechless(traces: Sequence[ImportedTrace], name: str) -> str:
    """A sentence on annotators of a kind or of a name whose labels cannot say backtracking.

    Empty where there are none.
    """
    found = [
        (one.name, {label for sentence in one.sentences for label in sentence.labels})
        for trace in traces
        for one in trace.annotations
        if name in (one.name, one.kind) and not tells_backtracking(one)
    ]
    if not found:
        return ""
    names = ", ".join(sorted({one for one, _ in found}))
    labels = ", ".join(sorted(set[str]().union(*(its for _, its in found)))) or "none"
    return f"No label of {names} says that a sentence backtracks (they are: {labels})."


def _by_overlap(passage: Passage, annotation: Annotation) -> list[State | None]:
    theirs = [_Placed(one.span, state_of(one)) for one in annotation.sentences if one.span]
    theirs.sort(key=lambda one: one.span)
    ends = list(accumulate((one.span.end for one in theirs), max))
    starts = [one.span.start for one in theirs]
    found: list[State | None] = []
    for span in passage.spans or ():
        first, last = bisect_right(ends, span.start), bisect_left(starts, span.end)
        found.append(_state_at(span, theirs[first:last]))
    return found


def _state_at(span: TextSpan, near: Sequence[_Placed]) -> State | None:
    """The state of a sentence by the sentences that overlap it, or touch it."""
    if any(one.state == "backtracking" and _is_same(span, one.span) for one in near):
        return "backtracking"
    rest = [one for one in near if one.state != "backtracking"]
    if not rest:
        return "deduction" if near else None
    return max(rest, key=lambda one: span.overlap(one.span)).state


def _is_same(one: TextSpan, other: TextSpan) -> bool:
    """Whether two spans share more than half of the shorter."""
    return 2 * one.overlap(other) > min(one.end - one.start, other.end - other.start)
