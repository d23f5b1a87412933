"""What a labeller reads, and what it is: one trace's sentences in, one state each out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from backtracking.labels import segmentation
from backtracking.records.imported import Annotation, ImportedTrace
from backtracking.records.sentences import State
from backtracking.records.spans import TextSpan


@dataclass(frozen=True)
class Passage:
    """The sentences of one trace.

    Attributes:
        trace_id: the trace.
        model: who wrote it, where that is known.
        texts: its sentences, in order.
        spans: their characters in the trace's text; None where only sentences are known.
    """

    trace_id: str
    model: str | None
    texts: tuple[str, ...]
    spans: tuple[TextSpan, ...] | None

    def __post_init__(self) -> None:
        if self.spans is not None and len(self.spans) != len(self.texts):
            raise ValueError(f"{len(self.texts)} sentences have {len(self.spans)} spans.")


@runtime_checkable
class Labeller(Protocol):
    """Who says what a sentence does."""

    @property
    def name(self) -> str:
        """As `--labeller` has it."""
        ...

    def label(self, passage: Passage) -> Sequence[State | None]:
        """One state a sentence; None where this labeller says nothing of it."""
        ...


def passage_of(trace: ImportedTrace) -> Passage:
    """A trace, split by our own rules."""
    written = trace.written
    spans = tuple(segmentation.split(written))
    texts = tuple(written[span.start : span.end] for span in spans)
    return Passage(trace.trace_id, trace.model, texts, spans)


def annotated_passage(trace: ImportedTrace, annotation: Annotation) -> Passage:
    """A trace, split as one of its annotators has it."""
    spans = tuple(one.span for one in annotation.sentences if one.span is not None)
    return Passage(
        trace.trace_id,
        trace.model,
        tuple(one.text for one in annotation.sentences),
        spans if len(spans) == len(annotation.sentences) else None,
    )
