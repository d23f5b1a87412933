"""Traces of a file as a page shows them: our sentences, with the word of whoever labelled them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from backtracking.labels.annotators import Annotator
from backtracking.labels.learned import Learned
from backtracking.labels.markers import MarkedRules
from backtracking.labels.passages import Labeller, annotated_passage, passage_of
from backtracking.labels.schemes import wider
from backtracking.records.imported import ImportedTrace, read_traces
from backtracking.records.labelled import read_labels, with_labels
from backtracking.view.shown import ShownSentence, ShownTrace
from lifeboat.stage.errors import UserError

VERDICTS = {True: "right", False: "wrong", None: ""}


def open_traces(path: Path, labels: Sequence[Path] = ()) -> list[ShownTrace]:
    """All traces of a file, with the labels of further files.

    Raises:
        UserError: for a broken file, a label of no trace, or a file without any text.
    """
    traces = read_traces(path)
    for file in reversed(labels):
        traces = with_labels(traces, read_labels(file))
    found = [shown(trace) for trace in traces if trace.written.strip()]
    if not found:
        raise UserError(
            f"{path} has no text to show.",
            "A trace needs `text`, `thinking` or `response`, or `sentences`.",
        )
    return found


def shown(trace: ImportedTrace) -> ShownTrace:
    """A trace with the word of its annotators, of `rules` and of `learned`, in this order."""
    if has_sentences_only(trace):
        trace = _placed(trace)
        passage = annotated_passage(trace, trace.annotations[0])
    else:
        passage = passage_of(trace)
    labellers = list(_labellers(trace))
    states = [one.label(passage) for one in labellers]
    return ShownTrace(
        trace.trace_id,
        trace.problem or trace.problem_id or "",
        _facts(trace),
        trace.written,
        tuple(one.name for one in labellers),
        tuple(
            ShownSentence(span.start, span.end, tuple(its[index] for its in states))
            for index, span in enumerate(passage.spans or ())
        ),
        wider=tuple(_wider(trace, one) for one in labellers),
    )


def _wider(trace: ImportedTrace, labeller: Labeller) -> str:
    return wider(labeller.by_trace[trace.trace_id]) if isinstance(labeller, Annotator) else ""


def has_sentences_only(trace: ImportedTrace) -> bool:
    """Whether a trace's text is known from its annotator's sentences alone."""
    return trace.text is None and trace.thinking is None and trace.response is None


def _placed(trace: ImportedTrace) -> ImportedTrace:
    """A trace whose first annotator's sentences stand where `written` puts them."""
    first, *others = trace.annotations
    starts = accumulate((len(one.text) + 1 for one in first.sentences), initial=0)
    sentences = tuple(
        replace(one, start=start, end=start + len(one.text))
        for one, start in zip(first.sentences, starts, strict=False)
    )
    return replace(trace, annotations=(replace(first, sentences=sentences), *others))


def _labellers(trace: ImportedTrace) -> Iterator[Labeller]:
    """Annotators by name, each once; then ours, where the file has not their labels already."""
    names = dict.fromkeys(one.name for one in trace.annotations)
    for name in names:
        found = Annotator.of([trace], name)
        if found.by_trace:
            yield found
    yield from (one for one in (MarkedRules.load(), Learned.load()) if one.name not in names)


def _facts(trace: ImportedTrace) -> dict[str, str]:
    """What is known of a trace, by name."""
    found = {
        "model": trace.model,
        "outcome": VERDICTS[trace.correct],
        "ended by": trace.finish_reason,
        "right answer": trace.gold,
        "answer": trace.answer,
    }
    return {name: value for name, value in found.items() if value}
