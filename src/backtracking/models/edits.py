"""Replacing and removing parts of what a module gives out while a model runs.

The companions of `hooks.add_vector`: `patch` writes other values in, `ablate` one value everywhere,
`set_projection` moves the output along a direction until its projection there has a given value. A
module is a decoder block (its output is `resid_post`) or a part of one that writes into the stream.
Where nothing is to change, every bit stays.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Positions = Bool[Tensor, "batch pos"] | Callable[[], Bool[Tensor, "batch pos"]] | None
"""Positions of the call at hand; a function is asked again at every call; None is all of them."""


@contextmanager
def patch(
    module: nn.Module, values: Float[Tensor, "batch pos d_model"], where: Positions = None
) -> Iterator[None]:
    """Writes `values` over the module's output at the positions of `where`.

    Args:
        module: whose (first) output is changed.
        values: what stands there instead; sizes of 1 are repeated.
        where: positions that are changed.

    Raises:
        ValueError: while the model runs, for values or a mask that do not fit the call.
    """
    with _editing(module, lambda _output: values, where):
        yield


@contextmanager
def ablate(
    module: nn.Module, value: Float[Tensor, " d_model"], where: Positions = None
) -> Iterator[None]:
    """Writes one vector over the module's output: zeros, or its mean over many positions."""
    with _editing(module, lambda _output: value[None, None], where):
        yield


@contextmanager
def set_projection(
    module: nn.Module,
    directions: Float[Tensor, "batch d_model"],
    values: Float[Tensor, " batch"],
    where: Positions = None,
) -> Iterator[None]:
    """Moves row b of the output along direction b until its projection on it is value b.

    The affine edit: what is orthogonal to the direction stays as it was, and where the projection
    has the value already nothing moves. With the value 0 the direction is projected out.

    Args:
        module: whose (first) output is changed.
        directions: one a row, of any norm above 0; a row of zeros changes nothing. A single row
            serves all.
        values: of the projection on the direction of norm 1.
        where: positions that are changed.
    """
    norms = directions.norm(dim=1, keepdim=True)
    units = (directions / torch.where(norms > 0, norms, 1))[:, None]

    def move(output: Tensor) -> Tensor:
        unit, wanted = (one.to(output.device, output.dtype) for one in (units, values))
        found = (output * unit).sum(dim=2, keepdim=True)
        return output + (wanted[:, None, None] - found) * unit

    with _editing(module, move, where):
        yield


@contextmanager
def project_out(
    module: nn.Module, directions: Float[Tensor, "batch d_model"], where: Positions = None
) -> Iterator[None]:
    """Takes row b's direction out of row b of the output, which is then orthogonal to it.

    Arguments as in `set_projection`, with the value 0.
    """
    with set_projection(module, directions, directions.new_zeros(len(directions)), where):
        yield


@contextmanager
def outputs_of(modules: Mapping[int, nn.Module]) -> Iterator[dict[int, Any]]:
    """What each module returned in the latest call, as it returned it: a tuple where it is one."""
    found: dict[int, Any] = {}

    def keep(number: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
        found[number] = output

    handles = [
        module.register_forward_hook(partial(keep, number)) for number, module in modules.items()
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def resume_after(
    blocks: Sequence[nn.Module], layer: int, output: Any, n_rows: int = 1
) -> Iterator[None]:
    """Has block `layer` return `output`, `n_rows` times each row, and the blocks below it not run.

    For runs that differ above it alone: what they share up to there is computed once.

    Args:
        blocks: the decoder blocks.
        layer: the last one that does not run.
        output: what it returned, as `outputs_of` has it.
        n_rows: rows of the runs for each of its rows.
    """
    resid_post, *rest = output if isinstance(output, tuple) else (output,)
    repeated = resid_post.repeat_interleave(n_rows, dim=0)
    returned = (repeated, *rest) if isinstance(output, tuple) else repeated
    skipped = blocks[: layer + 1]
    own = [block.__dict__.get("forward") for block in skipped]
    for block in skipped:
        block.forward = lambda *_args, **_kwargs: returned
    try:
        yield
    finally:
        for block, forward in zip(skipped, own, strict=True):
            del block.forward
            if forward is not None:
                block.forward = forward


@contextmanager
def _editing(
    module: nn.Module, change: Callable[[Tensor], Tensor], where: Positions
) -> Iterator[None]:
    def edit(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        tensor = output[0] if isinstance(output, tuple) else output
        new = change(tensor).to(tensor.device, tensor.dtype)
        _require_fit("values", tuple(new.shape), tuple(tensor.shape))
        positions = where() if callable(where) else where
        if positions is None:
            changed = new.expand_as(tensor)
        else:
            _require_fit("where", tuple(positions.shape), tuple(tensor.shape[:2]))
            changed = torch.where(positions.to(tensor.device)[:, :, None], new, tensor)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = module.register_forward_hook(edit, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def _require_fit(name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    fits = len(found) == len(expected) and all(
        a in (1, b) for a, b in zip(found, expected, strict=True)
    )
    if not fits:
        raise ValueError(f"`{name}`: the call has shape {expected}, found {found}")
