"""Whether all that is stored is a number: one that is not spoils every mean, and nobody sees it."""

from collections.abc import Iterable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import safe_open
from torch import Tensor

from backtracking.activations.format import tensor_name
from lifeboat.stage.errors import UserError


def require_finite_file(path: Path, hook: str, layers: Iterable[int]) -> None:
    """As `require_finite`, of a shard."""
    with safe_open(path, framework="pt") as file:
        trace = file.get_tensor("trace")
        for layer in layers:
            require_finite(file.get_tensor(tensor_name(hook, layer)), trace, layer)


def require_finite(
    values: Float[Tensor, "rows d_model"], trace: Int[Tensor, " rows"], layer: int
) -> None:
    """Checks every value of a layer.

    Args:
        values: rows of activations.
        trace: number of each row's trace.
        layer: their layer.

    Raises:
        UserError: naming a trace with a value that is infinite or not a number, and how to avoid
            it.
    """
    if not values.numel() or all(bound.isfinite() for bound in values.aminmax()):
        return
    wrong = ~values.isfinite().all(dim=1)
    first, *others = trace[wrong].unique().tolist()
    dtype = str(values.dtype).removeprefix("torch.")
    cure = "Leave it out, or find what the model does there in float32."
    if values.dtype == torch.float16:
        cure = "Use bfloat16 or float32, which reach 3e38 (`dtype` in params.yaml, --stored-dtype)."
    raise UserError(
        f"Trace {first}, layer {layer}: activations are not finite in {dtype}, which ends at "
        f"{torch.finfo(values.dtype).max:g} ({int(wrong.sum())} of {len(values)} rows, "
        f"{len(others)} other traces).",
        cure,
    )
