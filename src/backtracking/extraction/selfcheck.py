"""Whether what is stored is what the model computes: measured where something may change.

Two ways to be silently wrong are looked for in the stored rows themselves: a shift, a wrong layer
or a wrong tensor (against a plain forward pass), and a dependence on which traces shared a batch.
What depends on length, order or earlier calls is ruled out before (`models.lengths`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from backtracking.activations.format import Rows, tensor_name
from backtracking.activations.manifest import Check
from backtracking.extraction.items import Item
from backtracking.extraction.planning import plan_batches, rows_of
from backtracking.extraction.running import Reader, empty, run_batches
from backtracking.models import hooks
from backtracking.models.hooks import Site
from backtracking.models.room import is_out_of_memory
from lifeboat.stage.errors import UserError

EXTRA_PADDING = 7
TOKENS = 2048
"""Tokens of a batch for the comparison, at least: so many that traces share it."""
RowsByLayer = Mapping[int, Float[Tensor, "rows d_model"]]


def check(
    reader: Reader, items: Sequence[Item], shard_of: Callable[[Item], Path], floor: float
) -> Check:
    """The measured check of what is stored of some traces.

    Args:
        reader: the model.
        items: the traces.
        shard_of: the file that holds the rows of one.
        floor: largest relative difference that is accepted.

    Raises:
        UserError: naming the trace that differs by more than the floor, or by what is not a number.
    """
    parity, invariance, n_rows = {}, {}, 0
    for item in items:
        stored = stored_rows(reader, item, shard_of(item))
        parity[item.trace] = largest(stored, plain_rows(reader, item))
        n_rows += len(stored[reader.request.layers[0]])
    for item, rows in _otherwise(reader, items):
        invariance[item.trace] = largest(stored_rows(reader, item, shard_of(item)), rows)
    _require(parity, floor, "a plain forward pass of it alone")
    _require(invariance, floor, "the same traces in another batch")
    return Check(
        n_traces=len(items),
        n_rows=n_rows,
        parity=_rounded(max(parity.values(), default=0.0)),
        batch_invariance=_rounded(max(invariance.values(), default=0.0)),
        floor=floor,
        device=reader.model.device.type,
        attention=reader.identity["attention"],
        model_dtype=reader.identity["dtype"].removeprefix("torch."),
    )


def stored_rows(reader: Reader, item: Item, shard: Path) -> RowsByLayer:
    """What a shard holds of one trace."""
    hook, layers = reader.request.hook, reader.request.layers
    with safe_open(shard, framework="pt") as file:
        numbers = (file.get_tensor("trace") == item.trace).nonzero().flatten().tolist()
        own = slice(numbers[0], numbers[-1] + 1)
        return {layer: file.get_slice(tensor_name(hook, layer))[own] for layer in layers}


def _otherwise(reader: Reader, items: Sequence[Item]) -> Iterator[tuple[Item, RowsByLayer]]:
    """The rows of the traces in other batches: last trace first, padded wider.

    Nothing is padded beyond the longest trace, and none beyond what it is read by the formula of.
    """
    formula, longest = reader.formula, max((len(item.ids) for item in items), default=0)
    budget = max(TOKENS, reader.request.tokens_per_batch)
    batches = list(plan_batches([len(item.ids) for item in items], budget, formula))
    while batches:
        batch = batches.pop(0)
        some = [items[number] for number in reversed(batch)]
        width = max(len(item.ids) for item in some)
        wider = min(width + EXTRA_PADDING, longest)
        extra = wider - width if formula(wider) == formula(width) else 0
        other = empty(reader, sum(len(rows_of(item, reader.request.positions)) for item in some))
        try:
            run_batches(reader, some, [range(len(some))], other, extra_padding=extra)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            batches = [batch[: len(batch) // 2], batch[len(batch) // 2 :], *batches]
            continue
        first = 0
        for item in some:
            last = first + len(rows_of(item, reader.request.positions))
            yield item, {n: rows[first:last] for n, rows in other.tensor_by_layer.items()}
            first = last
        reader.mover.memory.give_back(other.tensor_by_layer.values())


def plain_rows(reader: Reader, item: Item) -> dict[int, Float[Tensor, "rows d_model"]]:
    """The rows of one trace by layer, by the plainest means: alone, unpadded, the whole model."""
    rows = rows_of(item, reader.request.positions)
    return {
        layer: rows_among(tokens, item, rows)
        for layer, tokens in plain_tokens(reader, item).items()
    }


def rows_among(
    tokens: Float[Tensor, "pos d_model"], item: Item, rows: Rows
) -> Float[Tensor, "rows d_model"]:
    """Rows of one trace of all its tokens, in their dtype; means are summed in float32."""
    vectors = tokens[torch.from_numpy(rows.position)]
    for number in np.flatnonzero(rows.position < 0):
        span = item.spans[int(rows.sentence[number])]
        vectors[number] = tokens[span.start : span.end].float().mean(0).to(tokens.dtype)
    return vectors


def plain_tokens(reader: Reader, item: Item) -> dict[int, Float[Tensor, "pos d_model"]]:
    """Every token by layer, of the residual stream as transformers reports it.

    The input of block l is `hidden_states[l]`, its output `hidden_states[l + 1]`; only the last
    block's output has no entry before the final norm, and is read from the block, as what
    attention and MLP write is from their modules.
    """
    model, request = reader.model, reader.request
    read: dict[int, Tensor] = {}
    sites: dict[int, Site] = {}
    if request.hook in ("attn_out", "mlp_out"):
        sites = {layer: reader.sites[layer] for layer in request.layers}
    elif request.hook == "resid_post" and model.n_layers - 1 in request.layers:
        sites = {model.n_layers - 1: reader.sites[model.n_layers - 1]}

    def keep(layer: int, tensor: Tensor) -> None:
        read[layer] = tensor.reshape(len(item.ids), -1).float().cpu()

    with torch.inference_mode(), hooks.reading(sites, keep):
        ids = torch.tensor([item.ids], device=model.device)
        hidden_states = model.model(
            input_ids=ids, output_hidden_states=True, use_cache=False, logits_to_keep=1
        ).hidden_states
    shift = 1 if request.hook == "resid_post" else 0
    return {
        layer: read[layer] if layer in sites else hidden_states[layer + shift][0].float().cpu()
        for layer in request.layers
    }


def relative(
    found: Float[Tensor, "rows d_model"], expected: Float[Tensor, "rows d_model"]
) -> float:
    """The largest of `relative_rows`."""
    return float(relative_rows(found, expected).max())


def relative_rows(
    found: Float[Tensor, "rows d_model"], expected: Float[Tensor, "rows d_model"]
) -> Float[Tensor, " rows"]:
    """The norm of each row's difference over the norm of the expected row."""
    expected = expected.double()
    norm = expected.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    return (found.double() - expected).norm(dim=-1) / norm


def largest(found: RowsByLayer, expected: RowsByLayer) -> float:
    """The largest relative difference of any layer; NaN where any is."""
    values = [relative(rows, expected[layer]) for layer, rows in found.items()]
    return torch.tensor(values, dtype=torch.float64).max().item()


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _require(difference_by_trace: Mapping[int, float], floor: float, against: str) -> None:
    wrong = {trace: value for trace, value in difference_by_trace.items() if not value <= floor}
    if wrong:
        trace, value = next(iter(wrong.items()))
        raise UserError(
            f"The self-check failed: stored activations of trace {trace} differ from {against} by "
            f"{value:.3g} (relative), and {floor:g} is accepted; {len(wrong)} of "
            f"{len(difference_by_trace)} traces looked at.",
            "Nothing was published. Check model, dtype and device, or raise the floor "
            "(`parity_floor`, --floor) if this dtype is that coarse.",
        )
