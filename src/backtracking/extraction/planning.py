"""What to extract, in which portions: rows, batches, units and their keys. No model is needed.

A unit is a fixed set of consecutive traces that run in fixed batches, and its key is a hash of all
that determines the bytes of its shard. Traces added at the end make new units and leave the
complete old ones as they are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from backtracking.activations.format import FORMAT, Positions, Rows
from backtracking.extraction.items import Item
from lifeboat.stage import artifacts

# Part of every key: raise it when a change of this package changes the bytes of a shard.
REVISION = 2
BYTES_BY_DTYPE = {"float32": 4, "bfloat16": 2, "float16": 2}
SMALL_BYTES, LARGE_BYTES = 128 * 2**20, 2 * 2**30
"""Planned shards have half of one of these to all of it, or lie between them."""
_FULL_BATCHES = 4

Formula = Callable[[int], str]
"""By which formula a model reads a text of so many tokens; those of two never share a batch."""


def one_formula(_n_tokens: int) -> str:
    """That of a model which reads texts of all lengths alike."""
    return ""


@dataclass(frozen=True)
class Request:
    """What is asked of a model, apart from the traces.

    Attributes:
        layers: layers to keep, ascending.
        positions: the rows kept of each trace.
        dtype: of what is stored.
        unit_traces: traces in a unit.
        tokens_per_batch: bound on traces times longest trace of a batch.
        n_threads: CPU threads of the forward pass, on which the last bits depend.
        hook: `resid_post`, `resid_pre`, `attn_out` or `mlp_out`.
    """

    layers: tuple[int, ...]
    positions: Positions
    dtype: str
    unit_traces: int
    tokens_per_batch: int
    n_threads: int
    hook: str = "resid_post"


@dataclass(frozen=True)
class Unit:
    """Consecutive traces that are extracted together, into one shard.

    Attributes:
        first: number of its first trace.
        n_items: its number of traces.
        n_rows: rows of the shard.
        n_tokens: tokens that run through the model.
        base: hash of what determines a token's vector: model, token ids, batches, dtypes.
        spans: hash of the sentences, on which the means depend as well.
        key: hash of what determines the shard's bytes: base, spans, layers and positions.
    """

    first: int
    n_items: int
    n_rows: int
    n_tokens: int
    base: str
    spans: str
    key: str

    def items(self, items: Sequence[Item]) -> Sequence[Item]:
        """The unit's own of all items."""
        return items[self.first : self.first + self.n_items]


def rows_of(item: Item, positions: Positions) -> Rows:
    """The rows of one trace: the means first, then the tokens of the united windows."""
    n_tokens = len(item.ids)
    kept = np.full(n_tokens, positions.window is None)
    owner = np.full(n_tokens, -1)
    for index, span in item.spans.items():
        owner[span.start : span.end] = index
        if positions.window is not None:
            low, high = positions.window
            kept[max(0, span.start + low) : max(0, span.start + high + 1)] = True
    tokens = np.flatnonzero(kept)
    means = np.array(list(item.spans) if positions.means else [], dtype=np.int64)
    return Rows(
        trace=np.full(len(means) + len(tokens), item.trace),
        sentence=np.concatenate([means, owner[tokens]]),
        position=np.concatenate([np.full(len(means), -1), tokens]),
    )


def plan_batches(
    lengths: Sequence[int], tokens_per_batch: int, formula: Formula = one_formula
) -> tuple[tuple[int, ...], ...]:
    """Numbers of the sequences that run together, alike in length, longest last.

    A batch takes as many sequences of one formula as fit the budget once they are padded to its
    longest; one that exceeds the budget runs alone.
    """
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: (lengths[number], number)):
        n = lengths[number]
        fits = batches and (len(batches[-1]) + 1) * n <= tokens_per_batch
        if fits and formula(n) == formula(lengths[batches[-1][0]]):
            batches[-1].append(number)
        else:
            batches.append([number])
    return tuple(tuple(batch) for batch in batches)


def batches_of(
    items: Sequence[Item], request: Request, formula: Formula = one_formula
) -> tuple[tuple[int, ...], ...]:
    """Numbers of a unit's items that run together; items without rows are in none."""
    wanted = [n for n, item in enumerate(items) if len(rows_of(item, request.positions))]
    plan = plan_batches([len(items[n].ids) for n in wanted], request.tokens_per_batch, formula)
    return tuple(tuple(wanted[number] for number in batch) for batch in plan)


def plan_units(
    items: Iterable[Item],
    request: Request,
    identity: dict[str, str],
    formula: Formula = one_formula,
) -> Iterator[Unit]:
    """The units of all traces, in file order; the traces are gone through once.

    Args:
        items: the traces.
        request: what is asked for.
        identity: hashes and facts of the model on which the bytes depend.
        formula: by which the model reads a trace of so many tokens.
    """
    portion: list[Item] = []
    first = 0
    for item in items:
        portion.append(item)
        if len(portion) == request.unit_traces:
            yield plan_unit(portion, request, identity, first, formula)
            first, portion = first + len(portion), []
    if portion:
        yield plan_unit(portion, request, identity, first, formula)


def plan_unit(
    items: Sequence[Item],
    request: Request,
    identity: dict[str, str],
    first: int,
    formula: Formula = one_formula,
) -> Unit:
    """The unit of these items, the first of which has number `first`."""
    batches = batches_of(items, request, formula)
    base = artifacts.sha256_json(
        {
            "format": FORMAT,
            "revision": REVISION,
            "identity": identity,
            "hook": request.hook,
            "dtype": request.dtype,
            "n_threads": request.n_threads,
            "batches": batches,
            "items": [[item.trace, item.ids] for item in items],
        }
    )
    spans = artifacts.sha256_json(
        [[[i, span.start, span.end] for i, span in item.spans.items()] for item in items]
    )
    key = artifacts.sha256_json([base, spans, request.layers, asdict(request.positions)])
    n_rows = sum(len(rows_of(item, request.positions)) for item in items)
    n_tokens = sum(len(items[number].ids) for batch in batches for number in batch)
    return Unit(first, len(items), n_rows, n_tokens, base, spans, key)


def halved(request: Request) -> Request:
    """The request with half the tokens in a batch."""
    return replace(request, tokens_per_batch=max(1, request.tokens_per_batch // 2))


def estimated_bytes(units: Iterable[Unit], request: Request, d_model: int) -> int:
    """Bytes of the units' shards: activations, the three integer columns, and a header."""
    return sum(unit.n_rows * _row_bytes(request, d_model) + 4096 for unit in units)


def with_planned_units(items: Sequence[Item], request: Request, d_model: int) -> Request:
    """The request with a power of two of traces in a unit.

    Shards are as large as makes four full batches, within `SMALL_BYTES` and `LARGE_BYTES`. The
    first 256 traces are looked at, so that traces added later seldom change it.
    """
    sample = items[:256]
    n_rows = sum(len(rows_of(item, request.positions)) for item in sample)
    n_tokens = sum(len(item.ids) for item in sample)
    n_bytes = n_rows * _row_bytes(request, d_model)
    filling = _FULL_BATCHES * request.tokens_per_batch * n_bytes // max(1, n_tokens)
    target = min(max(filling, SMALL_BYTES), LARGE_BYTES)
    per_trace = max(1, n_bytes // max(1, len(sample)))
    unit_traces = 2 ** max(0, (target // per_trace).bit_length() - 1)
    return replace(request, unit_traces=unit_traces)


def _row_bytes(request: Request, d_model: int) -> int:
    return len(request.layers) * d_model * BYTES_BY_DTYPE[request.dtype] + 3 * 8
