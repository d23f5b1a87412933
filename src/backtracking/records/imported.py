"""Traces that were written and labelled elsewhere: one reader for our format and for others'.

A line is one trace, plain or in gzip. Read are our own traces (docs/artifacts.md) and those of the
shared collections, whose keys their page explains: `text`, or `thinking` and `response` apart, or
only sentences; one annotator (`annotator` and `sentences`) or several (`annotations`). Other keys
are not looked at. What stands in a trace is data, and nothing in it is followed.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from backtracking.records import reader
from backtracking.records.decoding import keys_in, may_be_absent
from backtracking.records.spans import TextSpan
from lifeboat.stage.errors import UserError

_CURE = (
    "Expected traces: one object a line with `trace_id` and what was written (docs/artifacts.md)."
)


class Edge(NamedTuple):
    """What a sentence takes from an earlier one.

    Attributes:
        source: index of the earlier sentence; -1 is the problem.
        kind: the edge's type, as its annotators call it.
    """

    source: int
    kind: str


@dataclass(frozen=True)
class LabelledSentence:
    """One sentence as an annotator has it.

    Attributes:
        index: its number in the trace.
        text: its text.
        labels: in the annotator's own words.
        start, end: characters of the trace's text; None where only sentences are known.
        edges_in: what it takes from earlier ones, where that was annotated.
        n_resamples: how often the model wrote on again from the prefix before it.
        n_resamples_wait: after how many of these prefixes the next sentence began with "Wait".
    """

    index: int
    text: str
    labels: tuple[str, ...]
    start: int | None = may_be_absent()
    end: int | None = may_be_absent()
    edges_in: tuple[Edge, ...] = may_be_absent(())
    n_resamples: int | None = may_be_absent()
    n_resamples_wait: int | None = may_be_absent()

    @property
    def span(self) -> TextSpan | None:
        """Where it stands in the text."""
        if self.start is None or self.end is None:
            return None
        return TextSpan(self.start, self.end)


@dataclass(frozen=True)
class Annotation:
    """One annotator's reading of one trace.

    Attributes:
        kind: `human` or `judge`.
        name: who.
        sentences: all that were labelled, in order.
    """

    kind: str
    name: str
    sentences: tuple[LabelledSentence, ...]


@dataclass(frozen=True)
class ImportedTrace:
    """A trace of any of the formats; None for what its source does not say.

    Attributes:
        trace_id: its unique name.
        problem_id, problem: what it is about.
        model: who wrote it.
        prompt, prompt_ids: what the model read, as text and as ids.
        text: what it wrote, unchanged.
        thinking, response: before and after `</think>`.
        token_ids: the ids of the text, where they are known.
        finish_reason: `stop` where it surely ended by itself.
        gold, answer: the right answer, and the one given.
        correct: whether that is right.
        annotations: who labelled it, in the file's order.
    """

    trace_id: str
    problem_id: str | None = may_be_absent()
    problem: str | None = may_be_absent()
    model: str | None = may_be_absent()
    prompt: str | None = may_be_absent()
    prompt_ids: list[int] | None = may_be_absent()
    text: str | None = may_be_absent()
    thinking: str | None = may_be_absent()
    response: str | None = may_be_absent()
    token_ids: list[int] | None = may_be_absent()
    finish_reason: str | None = may_be_absent()
    gold: str | None = may_be_absent()
    answer: str | None = may_be_absent()
    correct: bool | None = may_be_absent()
    annotations: tuple[Annotation, ...] = may_be_absent(())

    @property
    def written(self) -> str:
        """All that was written, in one text.

        Where a source keeps thinking and answer apart they are joined as models write them, and
        where it has sentences only these are joined by spaces; empty where there is none of them.
        """
        if self.text is not None:
            return self.text
        if self.thinking is not None or self.response is not None:
            return f"<think>\n{self.thinking or ''}\n</think>\n\n{self.response or ''}"
        sentences = self.annotations[0].sentences if self.annotations else ()
        return " ".join(one.text for one in sentences)


def read_traces(path: Path) -> list[ImportedTrace]:
    """All traces of a file, `.jsonl` or `.jsonl.gz`.

    Raises:
        UserError: where the file is missing or no gzip; naming file, line and key of what is
            broken, and a `trace_id` that comes twice.
    """
    return traces_of(rows_of(path))


def traces_of(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> list[ImportedTrace]:
    """Rows as traces, in their order; each comes with where it stands, for messages.

    Raises:
        UserError: naming where, and the key, of what is broken, and a `trace_id` that comes twice.
    """
    found: dict[str, ImportedTrace] = {}
    for where, row in rows:
        trace = _trace(row, where)
        if trace.trace_id in found:
            nothing = "" if trace.written else ", and nothing that was written stands beside it"
            raise UserError(f"{where}: `{trace.trace_id}` comes twice{nothing}.", _CURE)
        found[trace.trace_id] = trace
    return list(found.values())


def rows_of(path: Path, cure: str = _CURE) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of JSON Lines, plain or in gzip, each with where it stands.

    Raises:
        UserError: where the file is missing or no gzip, and for a line that is no object.
    """
    for number, line in enumerate(_text_of(path, cure).split("\n"), start=1):
        where = f"{path}, line {number}"
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(f"{where} is not JSON: {error}.", cure) from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected an object, found {line[:60]!r}.", cure)
        yield where, row


def _trace(row: Mapping[str, Any], where: str) -> ImportedTrace:
    try:
        found = [_known(Annotation, one) for one in _annotations(row)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: its annotations cannot be read ({error!r}).", _CURE) from None
    annotations = tuple(reader.decode(Annotation, one, where, _CURE) for one in found)
    own = {key: row[key] for key in keys_in(ImportedTrace) if key in row and key != "annotations"}
    return replace(reader.decode(ImportedTrace, own, where, _CURE), annotations=annotations)


def _annotations(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Annotations of either shape, as values of JSON with their sentences' known keys only."""
    several = row.get("annotations") or []
    if row.get("annotator") and row.get("sentences"):
        several = [*several, {**row["annotator"], "sentences": row["sentences"]}]
    for one in several:
        sentences = [_known(LabelledSentence, sentence) for sentence in one["sentences"]]
        yield {**one, "sentences": sentences}


def _known(cls: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that a record has; an edge becomes its two fields, and a label of null none."""
    known = {key: row[key] for key in keys_in(cls) if key in row}
    if edges := known.get("edges_in"):
        known["edges_in"] = [{"source": source, "kind": kind} for source, kind in edges]
    if isinstance(labels := known.get("labels"), list):
        known["labels"] = [label for label in labels if label is not None]
    return known


def lines_of(path: Path) -> list[str]:
    """Lines of a file, plain or in gzip, that have anything.

    Raises:
        UserError: where the file is missing or cannot be read.
    """
    return [line for line in _text_of(path, _CURE).split("\n") if line.strip()]


def _text_of(path: Path, cure: str) -> str:
    if not path.is_file():
        raise UserError(f"{path} does not exist.", "Name a JSON Lines file of traces.")
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line} cannot be read: {error}.", cure) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}.", cure) from None
