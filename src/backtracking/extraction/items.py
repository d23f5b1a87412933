"""Traces as extraction sees them: token ids and sentence spans, read when they are needed."""

import json
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from backtracking.activations.permuted import moved
from backtracking.records import reader
from backtracking.records.traces import TokenSpan
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Item:
    """One trace.

    Attributes:
        trace: row number in the file of traces, from 0.
        ids: token ids, prompt first.
        spans: the sentences' token ranges by sentence index.
    """

    trace: int
    ids: list[int]
    spans: dict[int, TokenSpan]


@dataclass(frozen=True)
class Span:
    """What extraction reads of a sentence.

    Attributes:
        trace_id: the trace.
        index: number of the sentence within it.
        start, end: its half-open token range.
    """

    trace_id: str
    index: int
    start: int
    end: int


class Rows(Sequence[Item]):
    """Traces that are read when they are asked for, several at a time."""

    @abstractmethod
    def read(self, rows: Sequence[int]) -> list[Item]:
        """The traces of some rows."""

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...

    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, int):
            return self.read([range(len(self))[index]])[0]
        return self.read(range(len(self))[index])

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), 256):
            yield from self[start : start + 256]


class TraceFile(Rows):
    """The traces of a JSON Lines file, each read from disk when it is asked for.

    A line needs `token_ids`; it may have `prompt_ids` and `trace_id` (else its row number is its
    name); other keys are not looked at, nor are those of a sentence that `Span` does not have. A
    file of sentences may name one span several times.

    Args:
        traces: the traces.
        sentences: their sentences, or None.

    Raises:
        UserError: naming file and line of a broken record; for two traces of one name; for a
            sentence of an unknown trace, outside its trace, empty, overlapping another, or with
            different spans under one index; where a file of sentences has none.
    """

    def __init__(self, traces: Path, sentences: Path | None = None) -> None:
        self.traces = traces
        self.sentences = sentences
        self._offsets = array("q")
        row_by_id: dict[str, int] = {}
        lengths = array("q")
        for offset, line in _lines(traces):
            record = _parsed(line, traces, len(lengths))
            name = str(record.get("trace_id", len(lengths)))
            if row_by_id.setdefault(name, len(lengths)) != len(lengths):
                raise UserError(f"Two traces have one trace_id, {name!r}.", "Make them again.")
            self._offsets.append(offset)
            lengths.append(len(_ids(record, f"{traces}, line {len(lengths) + 1}")))
        self._spans = np.zeros((0, 4), dtype=np.int32)
        if sentences is not None:
            self._spans = _read_spans(sentences, row_by_id, np.frombuffer(lengths, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, rows: Sequence[int]) -> list[Item]:
        """The traces of some rows."""
        items = []
        with self.traces.open("rb") as file:
            for row in rows:
                file.seek(self._offsets[row])
                record = _parsed(file.readline(), self.traces, row)
                ids = _ids(record, f"{self.traces}, line {row + 1}")
                items.append(Item(row, ids, self._spans_of(row)))
        return items

    def _spans_of(self, row: int) -> dict[int, TokenSpan]:
        first, last = np.searchsorted(self._spans[:, 0], [row, row + 1])
        return {
            int(index): TokenSpan(int(start), int(end))
            for _, index, start, end in self._spans[first:last]
        }


@dataclass(frozen=True)
class Permuted(Rows):
    """The same traces with the sentences of each in another order (`activations.permuted`).

    Attributes:
        items: the traces.
    """

    items: Rows

    def __len__(self) -> int:
        return len(self.items)

    def read(self, rows: Sequence[int]) -> list[Item]:
        """The traces of some rows."""
        return [_permuted(one) for one in self.items.read(rows)]


def _permuted(item: Item) -> Item:
    there = moved(item.trace, item.spans, len(item.ids))
    ids = np.empty(len(item.ids), dtype=np.int64)
    ids[there] = item.ids
    spans = {
        index: TokenSpan(int(there[span.start]), int(there[span.end - 1]) + 1)
        for index, span in item.spans.items()
    }
    return Item(item.trace, ids.tolist(), spans)


_CURE_TRACES = "Make the file again, or convert it: docs/artifacts.md has the format."
_CURE_SENTENCES = (
    "Make the sentences again from these very traces: the stage `label` writes ranges of tokens, "
    "`backtracking label TRACES --labeller NAME --out FILE` labels, which are taken, too."
)
_INDEXES = range(2**31)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Each line with its offset in the file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist.", _CURE_TRACES)
    with path.open("rb") as file:
        offset = 0
        for line in file:
            yield offset, line
            offset += len(line)


def _parsed(line: bytes, path: Path, row: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        value, why = None, f" ({error})"
    else:
        why = ""
    if not isinstance(value, dict):
        raise UserError(
            f"{path}, line {row + 1}: expected a JSON object, found {line[:60]!r}{why}.",
            _CURE_TRACES,
        )
    return value


def _ids(record: dict[str, Any], where: str) -> list[int]:
    ids = []
    for key in ("prompt_ids", "token_ids"):
        part = record.get(key, [] if key == "prompt_ids" else None)
        if not isinstance(part, list) or not all(type(token) is int for token in part):
            raise UserError(
                f"{where}: expected token ids in `{key}`, found {part!r:.60}.",
                "Give them in every line, or in none: texts alone are tokenised.",
            )
        ids += part
    return ids


def _read_spans(path: Path, row_by_id: dict[str, int], lengths: np.ndarray) -> np.ndarray:
    """Rows (trace, index, start, end), ascending."""
    found = array("i")
    for number, span in enumerate(reader.pass_lines(Span, path, _CURE_SENTENCES), start=1):
        where = f"{path}, line {number}"
        if span.trace_id not in row_by_id:
            raise UserError(f"{where}: {span.trace_id!r}: there is no such trace.", _CURE_SENTENCES)
        if span.index not in _INDEXES:
            fact = f"{where}: expected an index from 0 to {_INDEXES[-1]}, found {span.index}."
            raise UserError(fact, _CURE_SENTENCES)
        n_tokens = lengths[row_by_id[span.trace_id]]
        if not 0 <= span.start < span.end <= n_tokens:
            raise UserError(
                f"{where}: expected a range within the trace, found tokens {span.start} to "
                f"{span.end} of {n_tokens}.",
                _CURE_SENTENCES,
            )
        found.extend([row_by_id[span.trace_id], span.index, span.start, span.end])
    table = np.frombuffer(found, dtype=np.int32).reshape(-1, 4)
    if not len(table):
        raise UserError(f"{path}: there is no sentence around which to extract.", _CURE_SENTENCES)
    return _require_consistent(np.unique(table, axis=0), list(row_by_id))


def _require_consistent(spans: np.ndarray, names: Sequence[str]) -> np.ndarray:
    for (row, index, *span), (next_row, next_index, *next_span) in zip(
        spans[:-1], spans[1:], strict=True
    ):
        if (row, index) == (next_row, next_index):
            raise UserError(
                f"Sentence {index} of trace {names[row]!r}: it has different spans, {span[0]} to "
                f"{span[1]} and {next_span[0]} to {next_span[1]}.",
                _CURE_SENTENCES,
            )
    by_start = spans[np.lexsort((spans[:, 2], spans[:, 0]))]
    overlaps = (by_start[:-1, 0] == by_start[1:, 0]) & (by_start[1:, 2] < by_start[:-1, 3])
    for (row, _, *span), (*_, start, end) in zip(
        by_start[:-1][overlaps], by_start[1:][overlaps], strict=True
    ):
        raise UserError(
            f"Trace {names[row]!r}: the sentences at tokens {span[0]} to {span[1]} and {start} to "
            f"{end} overlap.",
            _CURE_SENTENCES,
        )
    return spans
