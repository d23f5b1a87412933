"""Units through the model: right-padded batches, nothing above the highest layer asked for.

In a causal model a token does not see what comes after it, so padding on the right needs no mask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from backtracking import hooks
from backtracking.extraction.format import Rows, concatenate, tensor_name
from backtracking.extraction.planning import Item, Request, Unit, rows_of
from backtracking.models import LoadedModel


def run_unit(model: LoadedModel, unit: Unit, request: Request) -> dict[str, Tensor]:
    """The tensors of a unit's shard: one by layer, `trace`, `sentence` and `position`."""
    rows = concatenate([rows_of(item, request.positions) for item in unit.items])
    tensors = run_batches(model, unit.items, unit.batches, request)
    for name in ("trace", "sentence", "position"):
        tensors[name] = torch.from_numpy(getattr(rows, name))
    return tensors


def run_batches(
    model: LoadedModel,
    items: Sequence[Item],
    batches: Sequence[Sequence[int]],
    request: Request,
    extra_padding: int = 0,
) -> dict[str, Float[Tensor, "rows d_model"]]:
    """The activations of the items' rows, in the order of the items, by tensor name.

    Args:
        model: the model.
        items: the traces.
        batches: numbers of the items that run together.
        request: layers, positions and dtype.
        extra_padding: tokens of padding beyond each batch's longest trace.
    """
    rows = [rows_of(item, request.positions) for item in items]
    first = np.cumsum([0, *map(len, rows)])
    dtype = getattr(torch, request.dtype)
    tensor_by_layer = {
        layer: torch.empty(int(first[-1]), model.d_model, dtype=dtype) for layer in request.layers
    }
    for batch in batches:
        chosen = [items[number] for number in batch]
        places = _places(
            chosen, [rows[n] for n in batch], [int(first[n]) for n in batch], model.device
        )
        ids = right_pad([item.ids for item in chosen], extra_padding)
        for layer, values in resid_post(model, ids, request.layers).items():
            tensor = tensor_by_layer[layer]
            tensor[places.token_row] = values[places.token].to(dtype).cpu()
            tensor[places.mean_row] = _means(values, places).to(dtype).cpu()
    return {tensor_name(layer): tensor for layer, tensor in tensor_by_layer.items()}


def right_pad(sequences: Sequence[list[int]], extra: int = 0) -> Int[Tensor, "batch pos"]:
    """Token ids in rows, filled up on the right with token 0, which no kept position sees."""
    width = max(map(len, sequences)) + extra
    return torch.tensor([ids + [0] * (width - len(ids)) for ids in sequences])


def resid_post(
    model: LoadedModel, ids: Int[Tensor, "batch pos"], layers: Sequence[int]
) -> dict[int, Float[Tensor, "batch pos d_model"]]:
    """`resid_post` by layer; blocks above the highest layer and the unembedding do not run."""
    top = model.blocks[max(layers)]
    with (
        torch.inference_mode(),
        hooks.capture(model.blocks, layers) as resid_post_by_layer,
        _stop_after(top),
    ):
        model.model(input_ids=ids.to(model.device), use_cache=False)
    return resid_post_by_layer


class _BlockDoneError(Exception):
    """Leaves the forward pass once the last block that is needed has run."""


@contextmanager
def _stop_after(block: nn.Module) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _BlockDoneError

    handle = block.register_forward_hook(stop)
    try:
        yield
    except _BlockDoneError:
        pass
    finally:
        handle.remove()


@dataclass(frozen=True)
class _Places:
    """Where a batch's rows come from: a single token each, or all tokens of a sentence.

    Attributes:
        token: batch row and position of each token row.
        token_row: its row number in the shard.
        span: batch row and position of every token of every mean, sentence by sentence.
        segment: number of the mean to which each of these tokens belongs.
        size: tokens of each mean.
        mean_row: its row number in the shard.
    """

    token: tuple[Int[Tensor, " tokens"], Int[Tensor, " tokens"]]
    token_row: Int[Tensor, " tokens"]
    span: tuple[Int[Tensor, " summed"], Int[Tensor, " summed"]]
    segment: Int[Tensor, " summed"]
    size: Int[Tensor, " means"]
    mean_row: Int[Tensor, " means"]


def _places(
    items: Sequence[Item], rows: Sequence[Rows], first: Sequence[int], device: torch.device
) -> _Places:
    token, span, size, mean_row = [], [], [], []
    for number, (item, its_rows, first_row) in enumerate(zip(items, rows, first, strict=True)):
        is_mean = its_rows.position < 0
        row = first_row + np.arange(len(its_rows))
        position = its_rows.position[~is_mean]
        token.append(np.stack([np.full(len(position), number), position, row[~is_mean]]))
        mean_row.append(row[is_mean])
        for index in its_rows.sentence[is_mean]:
            start, end = item.spans[int(index)].start, item.spans[int(index)].end
            span.append(np.stack([np.full(end - start, number), np.arange(start, end)]))
            size.append(end - start)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(device)

    tokens = np.concatenate(token, axis=1)
    summed = np.concatenate([np.empty((2, 0), dtype=np.int64), *span], axis=1)
    return _Places(
        token=(tensor(tokens[0]), tensor(tokens[1])),
        token_row=torch.from_numpy(tokens[2]),
        span=(tensor(summed[0]), tensor(summed[1])),
        segment=tensor(np.repeat(np.arange(len(size)), np.array(size, dtype=np.int64))),
        size=tensor(np.array(size, dtype=np.int64)),
        mean_row=torch.from_numpy(np.concatenate(mean_row)),
    )


def _means(
    values: Float[Tensor, "batch pos d_model"], places: _Places
) -> Float[Tensor, "means d_model"]:
    """Means over sentences, summed in float32 whatever the model's dtype."""
    sums = torch.zeros(len(places.size), values.shape[-1], device=values.device)
    sums.index_add_(0, places.segment, values[places.span].float())
    return sums / places.size[:, None]
