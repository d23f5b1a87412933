"""How many tokens a model can read, and at which lengths it changes its formula.

Some models scale their positions by the longest of a call (LongRoPE, dynamic NTK, and what comes
after them). Rows that such a model would read by different formulas must not share a call. No list
of architectures says so: the modules that are given positions are called again, on the processor,
with the positions of other lengths.
"""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as trees
from transformers import PreTrainedModel

from backtracking.models.fresh import Fresh
from lifeboat.stage.errors import UserError

_PROBE = 5
"""Tokens of the call in which modules are found: no width of a head."""
_BEYOND = 4
"""Times the longest length that a model was made for."""


class Lengths:
    """What a model's modules do with positions; found in one call of a few equal tokens.

    Args:
        model: as it was before it read anything.

    Attributes:
        fresh: the model's state; the call that is made here is undone.
        made_for: the longest text that its configuration names; None where it names none.
        remembered: names of what a call leaves behind in modules that are not given positions, and
            with which a text would go on that is read in several calls.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        self.made_for: int | None = getattr(config, "max_position_embeddings", None)
        self.fresh = Fresh(model)
        token = 1 if config.pad_token_id == 0 else 0
        ids = torch.full((1, _PROBE), token, device=model.device)
        calls = _calls(model, ids, self.fresh)
        left = self.fresh.changed()
        self.fresh.restore()
        asked = [
            call
            for call in calls
            if isinstance(call[1], nn.Embedding) or next(call[1].parameters(), None) is None
        ]
        self._asked = [_Asked(*call[1:]) for call in asked]
        names = {name for name, *_ in asked}
        self.remembered = tuple(name for name in left if name.rpartition(".")[0] not in names)
        shapes = [buffer.shape for buffer in model.buffers() if buffer.dim() > 1]
        self._is_table = not self._asked and any(self.made_for in shape for shape in shapes)
        self._formulas: dict[int, str | None] = {}

    def holds(self, n: int) -> bool:
        """Whether the model has positions for n tokens."""
        return self._ask(n) is not None

    def formula(self, n: int) -> str:
        """By which formula a row of n tokens is read; rows of one formula may share a call.

        Raises:
            UserError: where the model has no positions for them.
        """
        if (found := self._ask(n)) is None:
            raise UserError(
                f"A text of {n} tokens was given, and the model has positions for "
                f"{self.made_for or 'fewer'}.",
                "Leave it out, cut it, or take a model with a longer context.",
            )
        return found

    @cached_property
    def vary(self) -> bool:
        """Whether there are lengths at which the formula changes."""
        return self.made_for is not None and self._ask(_BEYOND * self.made_for) not in (
            None,
            self._ask(2),
        )

    def require_one(self, n: int, further: int) -> None:
        """Checks that a text does not cross a limit where it goes on.

        Raises:
            UserError: where n tokens are read by another formula than all of them together.
        """
        if self.formula(n) != self.formula(further):
            raise UserError(
                f"A text of {n} tokens goes on to {further}, and between these lengths the model "
                "changes its formula: what was read of it would be another.",
                "Leave this text out: what stands behind it cannot be compared with it.",
            )

    def _ask(self, n: int) -> str | None:
        """What all modules answer; None where one of them has no such position."""
        if n not in self._formulas:
            answers = [asked(n) for asked in self._asked]
            is_beyond = self._is_table and self.made_for is not None and n > self.made_for
            self._formulas[n] = (
                None if is_beyond or None in answers else " ".join(map(str, answers))
            )
        return self._formulas[n]


class _Asked:
    """A module that is given positions, on the processor, with a call of it to be repeated."""

    def __init__(self, module: nn.Module, arguments: tuple[Any, ...], named: Any) -> None:
        self._module = copy.deepcopy(module).cpu().float()
        self._is_table = isinstance(module, nn.Embedding)
        self._fresh = Fresh(self._module)
        self._call = trees.tree_map(_on_processor, (arguments, named))
        self._answers = True
        self._answers = self(_PROBE) is not None

    def __call__(self, n: int) -> str | None:
        """What it makes of position 1 where there are n; None where it holds fewer.

        A module that cannot be asked has a formula of its own for every length.
        """
        if not self._answers:
            return str(n)
        arguments, named = trees.tree_map(lambda value: _of_length(value, n), self._call)
        self._fresh.restore()
        try:
            with torch.inference_mode():
                output = self._module(*arguments, **named)
        except (IndexError, RuntimeError):
            return None
        if self._is_table:
            return ""
        digest = hashlib.sha256()
        for tensor in trees.tree_leaves(output):
            if isinstance(tensor, Tensor):
                axis = next((i for i, size in enumerate(tensor.shape) if size == _PROBE), None)
                one = tensor if axis is None else tensor.select(axis, 0)
                digest.update(one.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _calls(
    model: nn.Module, ids: Tensor, fresh: Fresh
) -> list[tuple[str, nn.Module, tuple[Any, ...], Any]]:
    """The calls of modules with positions, in a pass with a cache where the model can have one."""
    for use_cache in (True, False):
        with torch.inference_mode(), _listening(model) as calls:
            try:
                model(input_ids=ids, use_cache=use_cache)
            except Exception:  # some hybrids of transformers fail to make a cache
                if not use_cache:
                    raise
                fresh.restore()
                continue
        return calls
    return []


@contextmanager
def _listening(model: nn.Module) -> Iterator[list[tuple[str, nn.Module, tuple[Any, ...], Any]]]:
    """The calls of modules with positions among their arguments, in the order of the pass."""
    calls: list[tuple[str, nn.Module, tuple[Any, ...], Any]] = []

    def listen(name: str) -> Any:
        def hear(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if any(map(_is_positions, trees.tree_leaves((arguments, named)))):
                calls.append((name, module, arguments, named))

        return hear

    handles = [
        module.register_forward_pre_hook(listen(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _is_positions(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.dtype not in (torch.int64, torch.int32):
        return False
    if not value.shape or value.shape[-1] != _PROBE:
        return False
    return bool((value.diff(dim=-1) == 1).all())


def _on_processor(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return value.detach().cpu().float() if value.is_floating_point() else value.detach().cpu()


def _of_length(value: Any, n: int) -> Any:
    """Positions 1 and, last, the highest of n tokens, wherever positions were."""
    if not _is_positions(value):
        return value
    first = value[..., :1]
    moved = (first + 1).expand_as(value).clone()
    moved[..., -1:] = first + max(2, n) - 1
    return moved
