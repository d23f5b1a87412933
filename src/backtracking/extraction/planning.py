"""What to extract, in which portions: rows, batches, units and their keys. No model is needed.

A unit is a fixed set of consecutive traces that run in fixed batches, and its key is a hash of all
that determines the bytes of its shard. Traces added at the end make new units and leave the
complete old ones as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from backtracking import artifacts
from backtracking.errors import UserError
from backtracking.extraction.format import FORMAT, HOOK, Rows
from backtracking.traces import Sentence, TokenSpan, Trace

# Part of every key: raise it when a change of this package changes the bytes of a shard.
REVISION = 1
BYTES_BY_DTYPE = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Positions:
    """Which rows are kept of a trace.

    Attributes:
        window: first and last offset, both included, from the start of each sentence; the windows
            of a trace are united and clipped to it.
        means: whether each sentence's mean over its tokens is kept as well.
    """

    window: tuple[int, int]
    means: bool


@dataclass(frozen=True)
class Request:
    """What is asked of a model, apart from the traces.

    Attributes:
        layers: layers of `resid_post`, ascending.
        positions: the rows kept of each trace.
        dtype: of what is stored.
        unit_traces: traces in a unit.
        tokens_per_batch: bound on traces times longest trace of a batch.
        n_threads: CPU threads of the forward pass, on which the last bits depend.
    """

    layers: tuple[int, ...]
    positions: Positions
    dtype: str
    unit_traces: int
    tokens_per_batch: int
    n_threads: int


@dataclass(frozen=True)
class Item:
    """One trace as extraction sees it.

    Attributes:
        trace: row number in the file of traces, from 0.
        ids: token ids, prompt first.
        spans: the sentences' token ranges by sentence index.
    """

    trace: int
    ids: list[int]
    spans: dict[int, TokenSpan]


@dataclass(frozen=True)
class Unit:
    """Traces that are extracted together, into one shard.

    Attributes:
        items: consecutive traces.
        batches: numbers of the items that run together; items without rows are in none.
        n_rows: rows of the shard.
        key: hash of what determines the shard's bytes.
    """

    items: tuple[Item, ...]
    batches: tuple[tuple[int, ...], ...]
    n_rows: int
    key: str


def items_of(traces: Sequence[Trace], sentences: Sequence[Sentence]) -> list[Item]:
    """The traces with their sentence spans: the `exact` labeller's where there are any.

    Otherwise those of all labellers together, which may name one span several times.

    Raises:
        UserError: for a sentence of an unknown trace, outside its trace, empty, overlapping
            another, or with different spans under one index; for two traces of one name; when
            there is no sentence at all.
    """
    spans_by_id: dict[str, dict[int, TokenSpan]] = {trace.trace_id: {} for trace in traces}
    length_by_id = {trace.trace_id: len(trace.ids) for trace in traces}
    exact = [sentence for sentence in sentences if sentence.labeller == "exact"]
    for sentence in exact or sentences:
        where = f"Sentence {sentence.index} of trace {sentence.trace_id!r}"
        span = TokenSpan(sentence.start, sentence.end)
        if sentence.trace_id not in spans_by_id:
            raise UserError(f"{where}: there is no such trace.", _CURE_SENTENCES)
        n_tokens = length_by_id[sentence.trace_id]
        if not 0 <= span.start < span.end <= n_tokens:
            found = f"tokens {span.start} to {span.end} of {n_tokens}"
            raise UserError(f"{where}: expected a range within the trace, found {found}.")
        if spans_by_id[sentence.trace_id].setdefault(sentence.index, span) != span:
            raise UserError(f"{where}: two labellers give it different spans.", _CURE_SENTENCES)
    if len(spans_by_id) < len(traces):
        raise UserError("Two traces have one trace_id.", "Make the traces again.")
    if not any(spans_by_id.values()):
        raise UserError("There is no sentence around which to extract.", _CURE_SENTENCES)
    for trace_id, spans in spans_by_id.items():
        _require_apart(trace_id, spans)
    return [
        Item(row, trace.ids, dict(sorted(spans_by_id[trace.trace_id].items())))
        for row, trace in enumerate(traces)
    ]


def rows_of(item: Item, positions: Positions) -> Rows:
    """The rows of one trace: the means first, then the tokens of the united windows."""
    low, high = positions.window
    n_tokens = len(item.ids)
    kept, owner = np.zeros(n_tokens, dtype=bool), np.full(n_tokens, -1)
    for index, span in item.spans.items():
        kept[max(0, span.start + low) : max(0, span.start + high + 1)] = True
        owner[span.start : span.end] = index
    tokens = np.flatnonzero(kept)
    means = np.array(list(item.spans) if positions.means else [], dtype=np.int64)
    return Rows(
        trace=np.full(len(means) + len(tokens), item.trace),
        sentence=np.concatenate([means, owner[tokens]]),
        position=np.concatenate([np.full(len(means), -1), tokens]),
    )


def plan_batches(lengths: Sequence[int], tokens_per_batch: int) -> tuple[tuple[int, ...], ...]:
    """Numbers of the sequences that run together, alike in length, longest last.

    A batch takes as many sequences as fit the budget once they are padded to its longest; one
    that exceeds the budget runs alone.
    """
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        if batches and (len(batches[-1]) + 1) * lengths[number] <= tokens_per_batch:
            batches[-1].append(number)
        else:
            batches.append([number])
    return tuple(tuple(batch) for batch in batches)


def plan_units(items: Sequence[Item], request: Request, identity: dict[str, str]) -> list[Unit]:
    """The units of all traces, in file order.

    Args:
        items: the traces.
        request: what is asked for.
        identity: hashes and facts of the model on which the bytes depend.
    """
    size = request.unit_traces
    portions = [tuple(items[start : start + size]) for start in range(0, len(items), size)]
    return [_unit(portion, request, identity) for portion in portions]


def estimated_bytes(units: Iterable[Unit], request: Request, d_model: int) -> int:
    """Bytes of the units' shards: activations, the three integer columns, and a header."""
    row = len(request.layers) * d_model * BYTES_BY_DTYPE[request.dtype] + 3 * 8
    return sum(unit.n_rows * row + 4096 for unit in units)


_CURE_SENTENCES = "Make the sentences again from these traces: `dvc --wait-for-lock repro label`."


def _unit(items: tuple[Item, ...], request: Request, identity: dict[str, str]) -> Unit:
    counts = [len(rows_of(item, request.positions)) for item in items]
    wanted = [number for number, count in enumerate(counts) if count]
    lengths = [len(items[number].ids) for number in wanted]
    plan = plan_batches(lengths, request.tokens_per_batch)
    batches = tuple(tuple(wanted[number] for number in batch) for batch in plan)
    key = artifacts.sha256_json(
        {
            "format": FORMAT,
            "revision": REVISION,
            "hook": HOOK,
            "identity": identity,
            "layers": request.layers,
            "positions": asdict(request.positions),
            "dtype": request.dtype,
            "n_threads": request.n_threads,
            "batches": batches,
            "items": [_content(item) for item in items],
        }
    )
    return Unit(items, batches, sum(counts), key)


def _content(item: Item) -> list[Any]:
    spans = [[index, span.start, span.end] for index, span in item.spans.items()]
    return [item.trace, item.ids, spans]


def _require_apart(trace_id: str, spans: dict[int, TokenSpan]) -> None:
    ordered = sorted(spans.values(), key=lambda span: span.start)
    for before, after in pairwise(ordered):
        if after.start < before.end:
            raise UserError(
                f"Trace {trace_id!r}: the sentences at tokens {before.start} to {before.end} and "
                f"{after.start} to {after.end} overlap.",
                _CURE_SENTENCES,
            )
