"""Judge-labelled sentences to choose markers and to fit weights on, and no human-labelled trace."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.labels.markers import family_of
from backtracking.labels.schemes import state_of
from backtracking.records.imported import ImportedTrace, read_traces
from lifeboat.stage.errors import UserError

FLOWS = "reasoningflow"
"""The source whose edges tell backtracking by itself."""

ANCHORS = "thought-anchors"
"""The source whose tag for backtracking is wider."""

FILES_BY_SOURCE = {
    FLOWS: ("reasoningflow_aime.jsonl.gz", "reasoningflow_human.jsonl.gz"),
    ANCHORS: ("thought_anchors_math.jsonl.gz",),
}


@dataclass(frozen=True)
class Example:
    """One judge-labelled trace.

    Attributes:
        source: `reasoningflow` or `thought-anchors`.
        family: of the model that wrote it.
        problem_id: the problem, by which folds are made.
        texts: its sentences.
        backtracks: of each, by the judge.
    """

    source: str
    family: str
    problem_id: str
    texts: tuple[str, ...]
    backtracks: tuple[bool, ...]


def read_examples(folder: Path) -> list[Example]:
    """All judge-labelled traces of problems of which no trace was labelled by a human.

    Raises:
        UserError: where a file is missing.
    """
    by_source = {
        source: [trace for file in files for trace in read_traces(folder / file)]
        for source, files in FILES_BY_SOURCE.items()
    }
    human = {
        trace.problem_id
        for traces in by_source.values()
        for trace in traces
        if any(one.kind == "human" for one in trace.annotations)
    }
    found = [
        example
        for source, traces in by_source.items()
        for trace in traces
        if trace.problem_id not in human
        for example in _examples(trace, source)
    ]
    if not found:
        raise UserError(f"{folder} has no judge-labelled traces.", "Name the folder of the traces.")
    return found


def of_source(examples: Sequence[Example], source: str) -> list[Example]:
    """The examples of one source."""
    return [one for one in examples if one.source == source]


def _examples(trace: ImportedTrace, source: str) -> Iterator[Example]:
    for annotation in trace.annotations:
        if annotation.kind == "judge":
            sentences = annotation.sentences
            yield Example(
                source,
                family_of(trace.model),
                trace.problem_id or trace.trace_id,
                tuple(one.text for one in sentences),
                tuple(state_of(one) == "backtracking" for one in sentences),
            )
