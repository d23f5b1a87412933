"""What a forward pass leaves behind in a model, and how the model is made new before the next one.

Some modules remember: rotary embeddings that scale by the longest sequence so far, recurrent blocks
that keep their last state. What such a model computes depends on what it read before.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_OF_TORCH = frozenset(vars(nn.Module()))


class _Kept:
    """A value of a module as it was: of a tensor its numbers too, of a container what it held."""

    def __init__(self, value: Any) -> None:
        self.value, self.version = value, _version(value)
        self.content: Any = value
        self.is_mutable = isinstance(value, (Tensor, list, dict))
        if isinstance(value, Tensor):
            self.content = value.detach().clone()
        elif isinstance(value, (list, dict)):
            self.content = copy.copy(value)

    def is_left(self, found: Any) -> bool:
        """Whether the module still has it, unchanged."""
        if found is self.value:
            return _version(found) == self.version and _parts(found) == _parts(self.content)
        is_plain = isinstance(found, (int, float, str))
        return is_plain and type(found) is type(self.value) and found == self.value

    def restored(self) -> Any:
        """The value with its old content."""
        if isinstance(self.value, Tensor):
            with torch.no_grad():
                self.value.copy_(self.content)
            self.version = _version(self.value)
        elif isinstance(self.value, (list, dict)):
            self.value = copy.copy(self.content)
        return self.value


class Fresh:
    """The state of a model beside its parameters: buffers, tensors, numbers, lists.

    Args:
        model: in the state to which `restore` leads back.
    """

    def __init__(self, model: nn.Module) -> None:
        self._kept = [
            (name, module, {key: _Kept(value) for key, value in _state(module)})
            for name, module in model.named_modules()
        ]
        self._held = [
            (held, key, kept)
            for _, module, kept_by_key in self._kept
            for key, kept in kept_by_key.items()
            for held in [module._buffers if key in module._buffers else vars(module)]
        ]
        self._sizes: list[int] = []

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Fresh":
        """Of nothing: whoever copies a model may edit it, and what he adds is no text's."""
        return Fresh(nn.Module())

    def changed(self) -> list[str]:
        """Names of what is not as it was, such as `model.rotary_emb.inv_freq`."""
        return [f"{name}.{key}".lstrip(".") for name, _, key, _ in self._changes()]

    def restore(self) -> None:
        """Makes everything as it was."""
        if self._is_untouched():
            return
        for _, module, key, kept in list(self._changes()):
            if kept is None:
                delattr(module, key)
            else:
                setattr(module, key, kept.restored())
        self._sizes = self._sizes_now()

    def _is_untouched(self) -> bool:
        """Whether every value is the one that was there, and no other has come; for every call."""
        return self._sizes == self._sizes_now() and all(
            held.get(key) is kept.value and (not kept.is_mutable or kept.is_left(kept.value))
            for held, key, kept in self._held
        )

    def _sizes_now(self) -> list[int]:
        """Numbers of attributes; who edits a model puts his own `forward` there for a while."""
        parts = [part for _, module, _ in self._kept for part in (vars(module), module._buffers)]
        return [len(part) - ("forward" in part) for part in parts]

    def _changes(self) -> Iterator[tuple[str, nn.Module, str, _Kept | None]]:
        """Name, module, attribute and old value of each change; None for what was not there."""
        for name, module, kept_by_key in self._kept:
            found = dict(_state(module))
            for key in kept_by_key.keys() | found.keys():
                kept = kept_by_key.get(key)
                if kept is None or key not in found or not kept.is_left(found[key]):
                    yield name, module, key, kept


def _state(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What it holds beside parameters and modules; private flags are of a library, not of texts."""
    for key, value in vars(module).items():
        is_flag = key.startswith("_") and isinstance(value, bool)
        if key not in _OF_TORCH and not is_flag and not callable(value):
            yield key, value
    yield from module._buffers.items()


def _version(value: Any) -> int:
    """How often a tensor's memory was written to; one made in inference mode does not count."""
    return value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def _parts(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [id(part) for item in value.items() for part in item]
    return [id(part) for part in value] if isinstance(value, (list, tuple)) else []
