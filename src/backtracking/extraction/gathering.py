"""From a batch's activations to rows of a shard: gathered on the device, then moved to the host."""

import mmap
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.format import Rows
from backtracking.extraction.items import Item

# Batches whose rows may be on their way at once; bounds what waits in device memory.
_IN_FLIGHT = 2
# One part in this many is room for a unit that is larger than the first.
_HEADROOM = 8
# Ranges of this many rows on average are copied one by one sooner than gathered.
_LONG = 8


@dataclass(frozen=True)
class Gather:
    """Where the rows that a batch contributes come from and where they go.

    Token numbers count in the flattened, padded batch; a range is (first row in the shard, first
    row in the source, length). Of what is gathered, tokens come first, then means.

    Attributes:
        direct: ranges of the batch that need no gathering.
        token: number of each other token row.
        span: number of every token of every mean, sentence by sentence.
        segment: the mean to which each of these belongs.
        size: tokens of each mean.
        runs: ranges of what is gathered.
    """

    direct: tuple[tuple[int, int, int], ...]
    token: Int[Tensor, " tokens"]
    span: Int[Tensor, " summed"]
    segment: Int[Tensor, " summed"]
    size: Int[Tensor, " means"]
    runs: tuple[tuple[int, int, int], ...]

    def __call__(
        self, flat: Float[Tensor, "batch_pos d_model"], dtype: torch.dtype
    ) -> Float[Tensor, "rows d_model"]:
        """The gathered rows; means are summed in float32 whatever the model's dtype."""
        tokens = flat.index_select(0, self.token).to(dtype)
        if not len(self.size):
            return tokens
        sums = torch.zeros(len(self.size), flat.shape[-1], device=flat.device)
        sums.index_add_(0, self.segment, flat.index_select(0, self.span).float())
        return torch.cat([tokens, (sums / self.size[:, None]).to(dtype)])


def plan_gather(
    items: Sequence[Item],
    rows: Sequence[Rows],
    first_rows: Sequence[int],
    wanted: Bool[np.ndarray, " shard_rows"],
    width: int,
    device: torch.device,
) -> Gather:
    """What to take of a batch.

    Args:
        items: the batch's traces.
        rows: the rows of each.
        first_rows: number in the shard of each one's first row.
        wanted: the rows of the shard that are missing.
        width: tokens of a trace with its padding.
        device: where the batch is.
    """
    none = np.empty(0, dtype=np.int64)
    token, token_row, span, size, mean_row = [none], [none], [none], [], [none]
    for number, (item, its, first) in enumerate(zip(items, rows, first_rows, strict=True)):
        row = first + np.arange(len(its))
        is_token = (its.position >= 0) & wanted[row]
        is_mean = (its.position < 0) & wanted[row]
        token.append(number * width + its.position[is_token])
        token_row.append(row[is_token])
        mean_row.append(row[is_mean])
        for index in its.sentence[is_mean]:
            start, end = item.spans[int(index)].start, item.spans[int(index)].end
            span.append(number * width + np.arange(start, end))
            size.append(end - start)
    tokens, places = np.concatenate(token), np.concatenate(token_row)
    direct = _ranges(places, tokens)
    if device.type == "cpu" and len(tokens) >= _LONG * len(direct):
        tokens, places = none, none
    else:
        direct = ()
    sizes = np.array(size, dtype=np.int64)
    gathered = np.concatenate([places, *mean_row])

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    return Gather(
        direct=direct,
        token=tensor(tokens),
        span=tensor(np.concatenate(span)),
        segment=tensor(np.repeat(np.arange(len(sizes)), sizes)),
        size=tensor(sizes),
        runs=_ranges(gathered, np.arange(len(gathered))),
    )


def _ranges(
    places: Int[np.ndarray, " n"], sources: Int[np.ndarray, " n"]
) -> tuple[tuple[int, int, int], ...]:
    """The ranges in which both go up by one."""
    if not len(places):
        return ()
    goes_on = (np.diff(places) == 1) & (np.diff(sources) == 1)
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on]))
    lengths = np.diff(starts, append=len(places))
    return tuple(
        (int(places[start]), int(sources[start]), int(length))
        for start, length in zip(starts, lengths, strict=True)
    )


class HostMemory:
    """Room for rows on the host, used again: a first touch of memory costs a page fault.

    Args:
        pinned: whether a GPU copies into it.
    """

    def __init__(self, *, pinned: bool) -> None:
        self._pinned = pinned
        self._free: list[Tensor] = []
        self._lock = Lock()

    def take(self, n_rows: int, d_model: int, dtype: torch.dtype) -> Float[Tensor, "rows d_model"]:
        """Room for the rows of one layer, with anything in it."""
        n_bytes = n_rows * d_model * dtype.itemsize
        with self._lock:
            fitting = [block for block in self._free if len(block) >= n_bytes]
            block = min(fitting, key=len) if fitting else self._new(n_bytes)
            # Blocks that are too small for one unit would only add up.
            self._free = [other for other in self._free if other is not block] if fitting else []
        return block[:n_bytes].view(dtype).view(n_rows, d_model)

    def give_back(self, rows: Iterable[Float[Tensor, "rows d_model"]]) -> None:
        """Takes back what `take` gave, once nobody reads it any more."""
        blocks = [torch.empty(0, dtype=torch.uint8).set_(each.untyped_storage()) for each in rows]
        with self._lock:
            self._free += blocks

    def _new(self, n_bytes: int) -> Tensor:
        n_bytes += n_bytes // _HEADROOM
        if self._pinned:
            return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)
        # Of its own, not of the heap, whose top the forward pass would then give back and ask for
        # again and again.
        memory = mmap.mmap(-1, max(1, n_bytes))
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        return torch.frombuffer(memory, dtype=torch.uint8)


class Mover:
    """Moves rows to the host; on a GPU beside the computing, through pinned memory.

    Args:
        device: where the model runs.

    Attributes:
        memory: room on the host.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._device = device
        self._moved: deque[torch.Event] = deque()
        self.memory = HostMemory(pinned=self._stream is not None)

    def move(
        self,
        values: Float[Tensor, "*batch_pos d_model"],
        gather: Gather,
        target: Float[Tensor, "shard_rows d_model"],
    ) -> None:
        """Puts a batch's rows in their places; they are there once `wait` has returned."""
        flat = values.reshape(-1, values.shape[-1])
        _copy(flat, target, gather.direct)
        if not gather.runs:
            return
        gathered = gather(flat, target.dtype)
        if self._stream is None:
            _copy(gathered, target, gather.runs)
            return
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            _copy(gathered, target, gather.runs)
        gathered.record_stream(self._stream)

    def batch_done(self) -> None:
        """Marks the end of a batch and waits while too many are on their way."""
        if self._stream is not None:
            self._moved.append(self._stream.record_event())
            while len(self._moved) > _IN_FLIGHT:
                self._moved.popleft().synchronize()

    def wait(self) -> None:
        """Waits until everything is on the host."""
        if self._stream is not None:
            self._stream.synchronize()
            self._moved.clear()


def _copy(source: Tensor, target: Tensor, ranges: Sequence[tuple[int, int, int]]) -> None:
    for to, start, length in ranges:
        target[to : to + length].copy_(source[start : start + length], non_blocking=True)
