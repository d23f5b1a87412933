"""Whether what a shard holds is what the model computes: measured on a few of its traces.

Two ways to be silently wrong are looked for in the stored rows themselves: a shift, a wrong layer
or a wrong tensor (against a plain forward pass), and a dependence on which traces shared a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from backtracking.activations.format import tensor_name
from backtracking.extraction.items import Item
from backtracking.extraction.planning import batches_of, rows_of
from backtracking.extraction.running import Partial, Reader, empty, is_out_of_memory, run_batches
from backtracking.models import hooks
from backtracking.models.hooks import Site
from lifeboat.stage.errors import UserError

N_TRACES = 4
SHARE = 0.005
"""Of the tokens of an extraction, what its check may cost at the most (but two traces always)."""
EXTRA_PADDING = 7


@dataclass(frozen=True)
class Check:
    """What was measured; a difference is relative: its norm over the reference's, largest row.

    Attributes:
        n_traces: traces compared.
        n_rows: rows compared, in every layer.
        parity: difference to a plain, unpadded forward pass of one trace that reports its hidden
            states.
        batch_invariance: difference to the same traces in another batch, padded wider.
        floor: the bound that both had to keep.
        device: kind of device that the model ran on.
        attention: attention implementation.
        model_dtype: dtype in which the model ran.
    """

    n_traces: int
    n_rows: int
    parity: float
    batch_invariance: float
    floor: float
    device: str
    attention: str
    model_dtype: str


@dataclass(frozen=True)
class Reference:
    """What a shard should hold of a few traces.

    Attributes:
        traces: their numbers.
        plain: rows by layer, of each trace alone.
        other: the same, of all of them in another batch, padded wider.
    """

    traces: tuple[int, ...]
    plain: dict[int, Float[Tensor, "rows d_model"]]
    other: dict[int, Float[Tensor, "rows d_model"]]


def refer(reader: Reader, items: Sequence[Item], n_tokens: int) -> Reference:
    """The reference for a unit.

    Args:
        reader: the model.
        items: the unit's traces.
        n_tokens: tokens of the whole extraction; the check may cost `SHARE` of it.
    """
    request = reader.request
    sample = _sample(items, reader, int(SHARE * n_tokens))
    plain = [plain_rows(reader, item) for item in sample]
    other = empty(reader, sum(len(rows_of(item, request.positions)) for item in sample))
    _run_otherwise(reader, sample, other)
    return Reference(
        traces=tuple(item.trace for item in sample),
        plain={layer: torch.cat([one[layer] for one in plain]) for layer in request.layers},
        other=other.tensor_by_layer,
    )


def check(reader: Reader, reference: Reference, shard: Path, floor: float) -> Check:
    """The measured check of a unit's shard.

    Args:
        reader: the model.
        reference: what its file should hold.
        shard: the file.
        floor: largest relative difference that is accepted.

    Raises:
        UserError: where a difference exceeds the floor, or is not a number.
    """
    request = reader.request
    with safe_open(shard, framework="pt") as file:
        chosen = torch.isin(file.get_tensor("trace"), torch.tensor(reference.traces))
        rows = {n: file.get_tensor(tensor_name(request.hook, n))[chosen] for n in request.layers}
    measured = Check(
        n_traces=len(reference.traces),
        n_rows=int(chosen.sum()),
        parity=_largest([relative(rows[n], reference.plain[n]) for n in request.layers]),
        batch_invariance=_largest([relative(rows[n], reference.other[n]) for n in request.layers]),
        floor=floor,
        device=reader.model.device.type,
        attention=reader.identity["attention"],
        model_dtype=reader.identity["dtype"].removeprefix("torch."),
    )
    reader.mover.memory.give_back(reference.other.values())
    _require(measured)
    return measured


def _run_otherwise(reader: Reader, sample: Sequence[Item], other: Partial) -> None:
    """All in one batch, last trace first, or in as few as there is memory for; padded wider."""
    batches = [tuple(reversed(range(len(sample))))]
    while True:
        try:
            return run_batches(reader, sample, batches, other, extra_padding=EXTRA_PADDING)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        halves = [(batch[: len(batch) // 2], batch[len(batch) // 2 :]) for batch in batches]
        batches = [half for pair in halves for half in pair if half]


def plain_rows(reader: Reader, item: Item) -> dict[int, Float[Tensor, "rows d_model"]]:
    """The rows of one trace by layer, by the plainest means: alone, unpadded, the whole model."""
    tokens_by_layer = _plain_tokens(reader, item)
    rows = rows_of(item, reader.request.positions)
    rows_by_layer = {}
    for layer, tokens in tokens_by_layer.items():
        vectors = [
            tokens[position] if position >= 0 else _mean(tokens, item, int(index))
            for position, index in zip(rows.position, rows.sentence, strict=True)
        ]
        rows_by_layer[layer] = torch.stack(vectors)
    return rows_by_layer


def _plain_tokens(reader: Reader, item: Item) -> dict[int, Float[Tensor, "pos d_model"]]:
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
    """The largest row-wise norm of the difference over the norm of the expected row."""
    expected = expected.double()
    norm = expected.norm(dim=-1).clamp_min(torch.finfo(torch.float32).tiny)
    return float(((found.double() - expected).norm(dim=-1) / norm).max())


def _mean(
    tokens: Float[Tensor, "pos d_model"], item: Item, index: int
) -> Float[Tensor, " d_model"]:
    return tokens[item.spans[index].start : item.spans[index].end].mean(0)


def _sample(items: Sequence[Item], reader: Reader, budget: int) -> list[Item]:
    """A few of the items that have rows, in file order.

    They are spread evenly over the lengths, up to the longest that the budget of tokens allows;
    two at the least.
    """
    by_length = [number for batch in batches_of(items, reader.request) for number in batch]
    for longest in range(len(by_length) - 1, 1, -1):
        chosen = _spread(by_length[: longest + 1])
        lengths = [len(items[number].ids) for number in chosen]
        if sum(lengths) + len(chosen) * (max(lengths) + EXTRA_PADDING) <= budget:
            return [items[number] for number in sorted(chosen)]
    return [items[number] for number in sorted(by_length[:2])]


def _spread(numbers: Sequence[int]) -> set[int]:
    last, n = len(numbers) - 1, min(N_TRACES, len(numbers))
    return {numbers[round(step * last / max(1, n - 1))] for step in range(n)}


def _largest(values: Sequence[float]) -> float:
    """The largest value to three digits; NaN where any is."""
    return float(f"{torch.tensor(values, dtype=torch.float64).max().item():.3g}")


def _require(measured: Check) -> None:
    for name, value in (("parity", measured.parity), ("invariance", measured.batch_invariance)):
        if not value <= measured.floor:
            against = {
                "parity": "a plain forward pass of one trace",
                "invariance": "the same traces in another batch",
            }[name]
            raise UserError(
                f"The self-check failed: stored activations differ from {against} by {value:g} "
                f"(relative), and {measured.floor:g} is accepted.",
                "Nothing was published. Check model, dtype and device, or raise the floor "
                "(`parity_floor`, --floor) if this dtype is that coarse.",
            )
