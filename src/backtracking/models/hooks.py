"""Reading and changing the residual stream while a model runs, by context managers.

`blocks` are a model's decoder blocks (`LoadedModel.blocks`), and layer `l` is the output of block
`l`, counted from 0: `resid_post[l]`. A handle is taken before `try` and removed in `finally`, so
that a model is never left changed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Site:
    """A tensor of the forward pass: what a module gives out, or what it takes in.

    Attributes:
        module: the module.
        is_input: whether its first input is meant, and not its (first) output.
    """

    module: nn.Module
    is_input: bool = False


@contextmanager
def reading(sites: Mapping[int, Site], receive: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Calls `receive(layer, tensor)` whenever the model passes one of the sites.

    The tensor is the model's own and may be overwritten as the model goes on: `receive` copies
    what it keeps. It may raise, which ends the forward pass.

    Args:
        sites: the tensor to read of each layer.
        receive: called in the order of the forward pass.
    """
    handles = [_register(site, layer, receive) for layer, site in sites.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def capture(
    blocks: Sequence[nn.Module], layers: Sequence[int]
) -> Iterator[dict[int, Float[Tensor, "batch pos d_model"]]]:
    """`resid_post` by layer, of the latest call of the model inside the context.

    The tensors are copies in the model's dtype on its device, cut from the graph: what the model
    does to its buffers afterwards does not reach them. What `add_vector` adds is seen, whichever
    of the two contexts was opened first.

    Args:
        blocks: the decoder blocks.
        layers: layers to read.

    Raises:
        ValueError: for a layer that the model does not have.
    """
    for layer in layers:
        _require_layer(blocks, layer)
    resid_post_by_layer: dict[int, Tensor] = {}

    def keep(layer: int, resid_post: Tensor) -> None:
        resid_post_by_layer[layer] = resid_post.detach().clone()

    with reading({layer: Site(blocks[layer]) for layer in layers}, keep):
        yield resid_post_by_layer


@contextmanager
def add_vector(
    blocks: Sequence[nn.Module],
    layer: int,
    vector: Float[Tensor, "batch d_model"],
    where: Bool[Tensor, "batch pos"] | Callable[[], Bool[Tensor, "batch pos"]] | None = None,
    told: Callable[[Bool[Tensor, "batch pos"]], None] | None = None,
) -> Iterator[None]:
    """Adds row b's vector to `resid_post[layer]` of row b, in every call inside the context.

    The sum is made in the model's dtype, and only where there is something to add: a zero
    component, or a position where `where` is false, keeps its very bits.

    Args:
        blocks: the decoder blocks.
        layer: layer to change.
        vector: one vector per row of the batch.
        where: positions of the call at hand (with a KV cache: of its new tokens only) to change;
            a function is asked again at every call; None is all positions.
        told: told at every call at which positions something was added.

    Raises:
        ValueError: for a layer that the model does not have; while the model runs, for a vector
            or mask whose shape does not fit the call.
    """
    _require_layer(blocks, layer)

    def add(_block: nn.Module, _inputs: Any, output: Any) -> Any:
        resid_post = _first(output)
        added = vector.to(resid_post.device, resid_post.dtype)[:, None]
        _require_shape("vector", added.squeeze(1), (resid_post.shape[0], resid_post.shape[2]))
        changes = added != 0
        positions = where() if callable(where) else where
        if positions is not None:
            _require_shape("where", positions, tuple(resid_post.shape[:2]))
            changes = changes & positions.to(resid_post.device)[:, :, None]
        changed = torch.where(changes, resid_post + added, resid_post)
        if told is not None:
            told(changes.any(dim=2).expand(resid_post.shape[:2]))
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = blocks[layer].register_forward_hook(add, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def _register(site: Site, layer: int, receive: Callable[[int, Tensor], None]) -> Any:
    def read_input(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        receive(layer, inputs[0] if inputs else named["hidden_states"])

    def read_output(_module: nn.Module, _inputs: Any, output: Any) -> None:
        receive(layer, _first(output))

    if site.is_input:
        return site.module.register_forward_pre_hook(read_input, with_kwargs=True)
    return site.module.register_forward_hook(read_output)


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _require_layer(blocks: Sequence[nn.Module], layer: int) -> None:
    if not 0 <= layer < len(blocks):
        raise ValueError(f"expected a layer from 0 to {len(blocks) - 1}, found {layer}")


def _require_shape(name: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != expected:
        raise ValueError(f"`{name}`: the call has shape {expected}, found {tuple(tensor.shape)}")
