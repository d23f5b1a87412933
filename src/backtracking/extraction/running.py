"""Units through the model: right-padded batches, nothing above the highest layer asked for.

In a causal model a token does not see what comes after it, so padding on the right needs no mask.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.format import COLUMNS, Rows, concatenate, tensor_name
from backtracking.extraction.gathering import Gather, Mover, plan_gather
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Formula, Request, batches_of, rows_of
from backtracking.models import components, hooks
from backtracking.models.hooks import Site
from backtracking.models.loading import LoadedModel
from backtracking.models.room import is_out_of_memory
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Reader:
    """A model with the places where a request reads it; made once and used for every unit.

    Attributes:
        model: the model.
        request: what is asked for.
        sites: where the hook is read, by layer.
        mover: takes rows to the host.
        identity: what of the model determines the bytes of its activations.
    """

    model: LoadedModel
    request: Request
    sites: dict[int, Site]
    mover: Mover
    identity: dict[str, str]

    @property
    def formula(self) -> Formula:
        """By which formula the model reads a trace of so many tokens."""
        return self.model.lengths.formula


def open_reader(model: LoadedModel, request: Request) -> Reader:
    """The reader of a request.

    Raises:
        UserError: for a hook that the architecture does not have.
    """
    identity = {
        "model_sha256": model.model_sha256,
        "tokenizer_sha256": model.tokenizer_sha256,
        "dtype": str(model.model.dtype),
        "attention": str(model.model.config._attn_implementation),
        "device": model.device.type,
    }
    if model.lengths.vary:
        identity["batches"] = "of one formula"
    sites = components.sites(model, request.hook)
    return Reader(model, request, sites, Mover(model.device), identity)


@dataclass(frozen=True)
class Partial:
    """A shard in the making: what an older shard gave, and which rows of which layers it did not.

    Attributes:
        tensor_by_layer: rows of every layer.
        layers: layers of which something is missing.
        rows: the rows that are missing in any of them.
    """

    tensor_by_layer: dict[int, Float[Tensor, "rows d_model"]]
    layers: tuple[int, ...]
    rows: Bool[np.ndarray, " rows"]


def unit_rows(items: Sequence[Item], request: Request) -> Rows:
    """The rows of a unit's shard."""
    return concatenate([rows_of(item, request.positions) for item in items])


def empty(reader: Reader, n_rows: int) -> Partial:
    """A shard of which everything is missing."""
    request, d_model = reader.request, reader.model.d_model
    dtype = getattr(torch, request.dtype)
    tensors = {layer: reader.mover.memory.take(n_rows, d_model, dtype) for layer in request.layers}
    return Partial(tensors, request.layers, np.ones(n_rows, dtype=bool))


def run_unit(
    reader: Reader,
    items: Sequence[Item],
    partial: Partial | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> dict[str, Tensor]:
    """The tensors of a unit's shard: one by layer, `trace`, `sentence` and `position`.

    Args:
        reader: the model.
        items: the unit's traces.
        partial: what is there already, which is filled up.
        done: called with the number of tokens after each batch.

    Raises:
        torch.OutOfMemoryError: where a batch of several traces does not fit.
        UserError: where a single trace does not.
    """
    rows = unit_rows(items, reader.request)
    partial = partial or empty(reader, len(rows))
    run_batches(
        reader, items, batches_of(items, reader.request, reader.formula), partial, done=done
    )
    return shard_tensors(reader.request.hook, partial, rows)


def shard_tensors(hook: str, partial: Partial, rows: Rows) -> dict[str, Tensor]:
    """A complete shard by the names of its tensors."""
    tensors = {
        tensor_name(hook, layer): tensor for layer, tensor in partial.tensor_by_layer.items()
    }
    return tensors | {name: torch.from_numpy(getattr(rows, name)) for name in COLUMNS}


def run_batches(
    reader: Reader,
    items: Sequence[Item],
    batches: Sequence[Sequence[int]],
    partial: Partial,
    *,
    extra_padding: int = 0,
    done: Callable[[int], None] = lambda _: None,
) -> None:
    """Fills the missing rows of the items' shard, in the order of the items.

    Args:
        reader: the model.
        items: the traces.
        batches: numbers of the items that run together.
        partial: the rows to fill.
        extra_padding: tokens of padding beyond each batch's longest trace.
        done: called with the number of tokens after each batch.
    """
    rows = [rows_of(item, reader.request.positions) for item in items]
    first = np.cumsum([0, *map(len, rows)])
    for batch in batches:
        n_tokens = sum(len(items[n].ids) for n in batch)
        if not any(partial.rows[first[n] : first[n + 1]].any() for n in batch):
            done(n_tokens)
            continue
        ids = right_pad([items[n].ids for n in batch], extra_padding)
        gather = plan_gather(
            [items[n] for n in batch],
            [rows[n] for n in batch],
            [int(first[n]) for n in batch],
            partial.rows,
            ids.shape[1],
            reader.model.device,
        )
        with _told_of_one_too_long([items[n] for n in batch]):
            forward(reader, ids, partial.layers, _keeper(reader, gather, partial))
        reader.mover.batch_done()
        done(n_tokens)
    reader.mover.wait()


def _keeper(reader: Reader, gather: Gather, partial: Partial) -> Callable[[int, Tensor], None]:
    def keep(layer: int, values: Tensor) -> None:
        at_home = values.to(reader.model.device)
        reader.mover.move(at_home, gather, partial.tensor_by_layer[layer])

    return keep


def right_pad(sequences: Sequence[list[int]], extra: int = 0) -> Int[Tensor, "batch pos"]:
    """Token ids in rows, filled up on the right with token 0, which no kept position sees."""
    width = max(map(len, sequences)) + extra
    return torch.tensor([ids + [0] * (width - len(ids)) for ids in sequences])


def forward(
    reader: Reader,
    ids: Int[Tensor, "batch pos"],
    layers: Sequence[int],
    receive: Callable[[int, Tensor], None],
) -> None:
    """Calls `receive(layer, tensor)` in a forward pass, which ends with the highest layer."""
    top = max(layers)

    def read(layer: int, tensor: Tensor) -> None:
        receive(layer, tensor)
        if layer == top:
            raise _TopReachedError

    sites = {layer: reader.sites[layer] for layer in layers}
    model = reader.model
    with torch.inference_mode(), hooks.reading(sites, read):
        try:
            model.model(input_ids=ids.to(model.device), use_cache=False)
        except _TopReachedError:
            return
    raise RuntimeError(f"{type(model.model).__name__} did not pass layer {top}")


class _TopReachedError(Exception):
    """Leaves the forward pass once the last tensor that is needed is there."""


@contextmanager
def _told_of_one_too_long(items: Sequence[Item]) -> Iterator[None]:
    """Turns a lack of memory for one trace, which no smaller batch can cure, into an error."""
    try:
        yield
    except RuntimeError as error:
        if len(items) > 1 or not is_out_of_memory(error):
            raise
        raise UserError(
            f"Trace {items[0].trace} of {len(items[0].ids)} tokens does not fit into memory alone.",
            "Use a device with more memory, a smaller dtype, or leave the trace out.",
        ) from error
