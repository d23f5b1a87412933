"""Labels of sentences, one a line: what `backtracking label` writes, and what a human may write."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from backtracking.records import reader
from backtracking.records.decoding import may_be_absent
from backtracking.records.imported import Annotation, ImportedTrace, LabelledSentence
from backtracking.records.sentences import State
from lifeboat.stage.errors import UserError

MACHINES = ("rules", "learned", "judge")
"""Annotators that are no humans: each is a kind of its own."""

_CURE = "A line is an object with `trace_id`, `start`, `end`, `state`, and maybe `annotator`."


@dataclass(frozen=True)
class Label:
    """The state of one stretch of a trace's text.

    Attributes:
        trace_id: the trace.
        start, end: half-open range of characters of its text.
        state: what the sentence there does.
        annotator: who says so.
    """

    trace_id: str
    start: int
    end: int
    state: State
    annotator: str = may_be_absent("human")

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"characters {self.start} to {self.end} are no stretch of a text")


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """Writes labels as JSON Lines."""
    reader.write_lines(path, labels)


def read_labels(path: Path) -> list[Label]:
    """All labels of a file.

    Raises:
        UserError: where the file is missing; for a broken label, with file, line and key.
    """
    return reader.read_lines(Label, path, _CURE)


def with_labels(traces: Iterable[ImportedTrace], labels: Iterable[Label]) -> list[ImportedTrace]:
    """Traces with the labels of a file as annotations in front of those that they have.

    Raises:
        UserError: for a label of no trace, or beyond the end of its text.
    """
    by_id = {trace.trace_id: trace for trace in traces}
    found: dict[tuple[str, str], list[Label]] = {}
    for label in labels:
        if label.trace_id not in by_id or label.end > len(by_id[label.trace_id].written):
            raise UserError(
                f"A label is of `{label.trace_id}`, characters {label.start} to {label.end}, "
                "which no trace has.",
                "Give the file of the traces that were labelled.",
            )
        found.setdefault((label.trace_id, label.annotator), []).append(label)
    for (trace_id, annotator), its in reversed(found.items()):
        trace = by_id[trace_id]
        kind = annotator if annotator in MACHINES else "human"
        one = Annotation(kind, annotator, _sentences(trace.written, its))
        by_id[trace_id] = replace(trace, annotations=(one, *trace.annotations))
    return list(by_id.values())


def _sentences(text: str, labels: Iterable[Label]) -> tuple[LabelledSentence, ...]:
    ordered = sorted(labels, key=lambda one: one.start)
    return tuple(
        LabelledSentence(index, text[one.start : one.end], (one.state,), one.start, one.end)
        for index, one in enumerate(ordered)
    )
