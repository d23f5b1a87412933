"""Where attention and MLP write into the residual stream: found by the law that defines it.

`attn_out` and `mlp_out` are what is added to the stream, so in every block

    resid_pre + attn_out + mlp_out = resid_post.

The raw output of an attention or MLP module is something else in Gemma 2 and 3 and OLMo 2 (a norm
follows) and in BLOOM (the residual is inside), and OPT has no MLP module. So the two modules are
those whose outputs keep the law on a short probe, in every block; no table of architectures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from backtracking.models import hooks
from backtracking.models.hooks import Site
from backtracking.models.loading import LoadedModel
from lifeboat.stage.errors import UserError

HOOKS = ("resid_pre", "attn_out", "mlp_out", "resid_post")

_N_PROBE = 8
# Roundings of one addition each, in units of the largest term, that the law may be off by.
_ROUNDINGS = 4


@dataclass(frozen=True)
class Writers:
    """The two modules of a block whose outputs are added to the stream.

    Attributes:
        attention: the module whose output is `attn_out`.
        mlp: the module whose output is `mlp_out`.
    """

    attention: nn.Module
    mlp: nn.Module


def sites(model: LoadedModel, hook: str) -> dict[int, Site]:
    """Where a hook is read, by layer.

    Args:
        model: the model.
        hook: one of `HOOKS`.

    Raises:
        UserError: for an unknown hook; for an architecture whose blocks do not add the outputs of
            two modules to the stream, by name.
    """
    if hook == "resid_post":
        return {layer: Site(block) for layer, block in enumerate(model.blocks)}
    if hook == "resid_pre":
        return {layer: Site(block, is_input=True) for layer, block in enumerate(model.blocks)}
    if hook not in HOOKS:
        raise UserError(f"{hook!r} is not a hook.", f"Use one of {', '.join(HOOKS)}.")
    writers = find_writers(model)
    name = "attention" if hook == "attn_out" else "mlp"
    return {layer: Site(getattr(writers[layer], name)) for layer in range(model.n_layers)}


def find_writers(model: LoadedModel) -> tuple[Writers, ...]:
    """The modules that write into the stream, by layer.

    Raises:
        UserError: naming an architecture in which no two modules keep the law.
    """
    found = []
    for layer, block in enumerate(model.blocks):
        writers = _writers(block, _record(model, block))
        if writers is None:
            raise UserError(
                f"{type(model.model).__name__}: no two modules of block {layer} have outputs "
                "whose sum is what the block adds to the residual stream.",
                "`attn_out` and `mlp_out` do not exist here; ask for `resid_post`.",
            )
        found.append(writers)
    return tuple(found)


def _record(model: LoadedModel, block: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """The block's input, then the output of each module inside in the order they end, then its own.

    Only outputs of the stream's size are kept; in a module that runs several times, the last.
    """
    modules = [block, *(module for module in block.modules() if module is not block)]
    seen: dict[int, Tensor] = {}

    def keep(number: int, tensor: Any) -> None:
        seen.pop(number, None)
        if isinstance(tensor, Tensor) and tensor.numel() == _N_PROBE * model.d_model:
            its = tensor.detach().reshape(_N_PROBE, model.d_model).clone()
            seen[number] = its.to(model.device)

    d_vocab = model.model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
    ids = torch.arange(_N_PROBE, device=model.device)[None] * 7 % d_vocab
    block_input = {len(modules): Site(block, is_input=True)}
    outputs = {number: Site(module) for number, module in enumerate(modules)}
    with torch.inference_mode(), hooks.reading(block_input | outputs, keep):
        model.model(input_ids=ids, use_cache=False)
    first, last = seen.pop(len(modules)), seen.pop(0)
    inside = [(modules[number], tensor) for number, tensor in seen.items()]
    return [(block, first), *inside, (block, last)]


def _writers(block: nn.Module, record: Sequence[tuple[nn.Module, Tensor]]) -> Writers | None:
    """The pair that keeps the law best; of equal ones the outermost, which end last."""
    (_, resid_pre), *inside, (_, resid_post) = record
    best, least = None, float(_ROUNDINGS)
    for (attention, attn_out), (mlp, mlp_out) in combinations(inside, 2):
        error = _roundings_off(resid_pre, attn_out, mlp_out, resid_post)
        if error <= least:
            best, least = Writers(attention, mlp), error
    return best


def _roundings_off(
    resid_pre: Float[Tensor, "pos d_model"],
    attn_out: Float[Tensor, "pos d_model"],
    mlp_out: Float[Tensor, "pos d_model"],
    resid_post: Float[Tensor, "pos d_model"],
) -> float:
    """How far the law is off, in roundings of the model's dtype; 0 if some order of it is exact."""
    in_order = resid_pre + attn_out + mlp_out
    at_once = attn_out + mlp_out + resid_pre
    if torch.equal(in_order, resid_post) or torch.equal(at_once, resid_post):
        return 0.0
    terms = (resid_pre, attn_out, mlp_out)
    off = sum(term.double() for term in terms) - resid_post.double()
    largest = torch.stack([term.abs().double() for term in (*terms, resid_post)]).amax(0)
    rounding = torch.finfo(resid_post.dtype).eps * largest.clamp_min(1e-30)
    return float((off.abs() / rounding).max().nan_to_num(torch.inf, torch.inf))
