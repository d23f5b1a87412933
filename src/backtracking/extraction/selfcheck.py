"""Whether what a shard holds is what the model computes: measured on a few of its traces.

Two ways to be silently wrong are looked for in the stored rows themselves: a shift, a wrong layer
or a wrong tensor (against a plain forward pass), and a dependence on which traces shared a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking import hooks
from backtracking.errors import UserError
from backtracking.extraction.format import tensor_name
from backtracking.extraction.planning import Item, Request, Unit, rows_of
from backtracking.extraction.running import run_batches
from backtracking.models import LoadedModel

N_TRACES = 4
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
    """

    n_traces: int
    n_rows: int
    parity: float
    batch_invariance: float
    floor: float
    device: str
    attention: str


def check(
    model: LoadedModel, unit: Unit, stored: dict[str, Tensor], request: Request, floor: float
) -> Check:
    """The measured check of a unit's shard.

    Args:
        model: the model.
        unit: the unit, with rows.
        stored: the tensors of its shard.
        request: what was asked for.
        floor: largest relative difference that is accepted.

    Raises:
        UserError: where a difference exceeds the floor, or is not a number.
    """
    sample = _sample(unit)
    chosen = torch.isin(stored["trace"], torch.tensor([item.trace for item in sample]))
    rows = {layer: stored[tensor_name(layer)][chosen] for layer in request.layers}
    other = run_batches(
        model, sample, [tuple(reversed(range(len(sample))))], request, EXTRA_PADDING
    )
    plain = [plain_rows(model, item, request) for item in sample]
    measured = Check(
        n_traces=len(sample),
        n_rows=int(chosen.sum()),
        parity=_largest(
            [relative(rows[n], torch.cat([one[n] for one in plain])) for n in request.layers]
        ),
        batch_invariance=_largest(
            [relative(rows[n], other[tensor_name(n)]) for n in request.layers]
        ),
        floor=floor,
        device=model.device.type,
        attention=str(model.model.config._attn_implementation),
    )
    _require(measured)
    return measured


def plain_rows(
    model: LoadedModel, item: Item, request: Request
) -> dict[int, Float[Tensor, "rows d_model"]]:
    """The rows of one trace by layer, by the plainest means: alone, unpadded, the whole model.

    Layer l is `hidden_states[l + 1]`, except the last, whose entry is taken after the final norm:
    that one is read from the block.
    """
    last = model.n_layers - 1
    with torch.inference_mode(), hooks.capture(model.blocks, [last]) as captured:
        ids = torch.tensor([item.ids], device=model.device)
        hidden_states = model.model(
            input_ids=ids, output_hidden_states=True, use_cache=False
        ).hidden_states
    rows = rows_of(item, request.positions)
    rows_by_layer = {}
    for layer in request.layers:
        tokens = (captured[last] if layer == last else hidden_states[layer + 1])[0].float().cpu()
        vectors = [
            tokens[position] if position >= 0 else _mean(tokens, item, int(index))
            for position, index in zip(rows.position, rows.sentence, strict=True)
        ]
        rows_by_layer[layer] = torch.stack(vectors)
    return rows_by_layer


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


def _sample(unit: Unit) -> list[Item]:
    """A few of the unit's items that have rows, evenly spread over the lengths, in file order."""
    by_length = [number for batch in unit.batches for number in batch]
    last, n = len(by_length) - 1, min(N_TRACES, len(by_length))
    numbers = {by_length[round(step * last / max(1, n - 1))] for step in range(n)}
    return [unit.items[number] for number in sorted(numbers)]


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
                "Nothing was published. Check model, dtype and device, or raise `parity_floor` in "
                "params.yaml if this dtype is that coarse.",
            )
