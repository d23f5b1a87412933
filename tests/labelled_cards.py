"""Cards that a processor plays: every tensor has the label of one, and no operation mixes two.

`cpu:0`, `cpu:1` and so on are devices to whoever asks a tensor for its own or moves it; the numbers
are computed as on the processor itself. What would fail on GPUs fails here: tensors of two cards in
one operation, or of a card and of the host. As there, a host's number may stand beside a card's
tensor, a host's index may choose from it, and copies go anywhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel

from backtracking.models import loading, spreading
from backtracking.models.cards import Size
from backtracking.models.loading import LoadedModel

_INDEXING = {Tensor.__getitem__, Tensor.__setitem__}
_TORCH: Any = torch
_FREE = {
    Tensor.copy_,
    vars(torch._C.TensorBase)["data"].__set__,
    Tensor.__deepcopy__,
    _TORCH._has_compatible_shallow_copy_type,
}
"""That of the first tensor is the card of what they give."""
_HOST = torch.device("cpu")
_PLAIN = {int, float, bool, str, type(None), torch.dtype, torch.device}


class LabelledCards(TorchFunctionMode):
    """A context in which tensors of two cards do not mix."""

    def __init__(self) -> None:
        super().__init__()
        self._label_by_storage: dict[int, tuple[StorageWeakRef, torch.device]] = {}

    def card_of(self, tensor: Tensor) -> torch.device:
        """The card, or the host."""
        return self._label_by_storage.get(_key(tensor), (None, _HOST))[1]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        named = dict(kwargs or {})
        if func == Tensor.device.__get__:
            return func(*args) if args[0].is_meta else self.card_of(args[0])
        if func is Tensor.cpu:
            return self._moved(args[0], _HOST)
        if func is Tensor.to:
            return self._to(*args, **named)
        if func is Tensor.numpy and self.card_of(args[0]) != _HOST:
            raise TypeError(f"a tensor of {self.card_of(args[0])} cannot be one of numpy's")
        device = named.get("device")
        if device is not None and torch.device(device).type == "cpu":
            named["device"] = "cpu"
        else:
            device = None
        card = self._common(func, args, named)
        found = func(*args, **named)
        self._label(found, card if device is None else torch.device(device))
        return found

    def _common(self, func: Callable[..., Any], args: Any, named: Any) -> torch.device:
        """The card of what an operation takes.

        Raises:
            RuntimeError: where there are two.
        """
        tensors = _tensors((args, named), [])
        if not tensors:
            return _HOST
        if func in _INDEXING or func in _FREE:
            first = self.card_of(tensors[0])
            others = {self.card_of(one) for one in tensors[1:]} - {first, _HOST}
            if others and func not in _FREE:
                raise RuntimeError(f"{func.__name__}: {others} beside {first}")
            return first
        cards = {self.card_of(one) for one in tensors if one.dim() and not one.is_meta}
        if not cards:
            cards = {self.card_of(one) for one in tensors} - {_HOST} or {_HOST}
        if len(cards) > 1:
            raise RuntimeError(f"{getattr(func, '__name__', func)}: tensors of {cards}")
        return cards.pop()

    def _to(self, tensor: Tensor, *args: Any, **named: Any) -> Tensor:
        if args and isinstance(args[0], Tensor):
            return self._moved(tensor.to(args[0].dtype), self.card_of(args[0]))
        device, dtype, *_ = _TORCH._C._nn._parse_to(*args, **named)
        found = tensor if dtype is None else tensor.to(dtype)
        self._label(found, self.card_of(tensor))
        if device is None:
            return found
        return found.to(device) if device.type != "cpu" else self._moved(found, device)

    def _moved(self, tensor: Tensor, card: torch.device) -> Tensor:
        if self.card_of(tensor) == card:
            return tensor
        found = tensor.detach().clone() if not tensor.requires_grad else tensor.clone()
        self._label(found, card)
        return found

    def _label(self, found: Any, card: torch.device) -> None:
        if card == _HOST:
            return
        for one in _tensors(found, []):
            if (key := _key(one)) not in self._label_by_storage:
                self._label_by_storage[key] = StorageWeakRef(one.untyped_storage()), card


def _tensors(value: Any, found: list[Tensor]) -> list[Tensor]:
    """What was found, and the tensors in a value; of every operation, so without detours."""
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, (tuple, list)):
        for one in value:
            _tensors(one, found)
    elif isinstance(value, dict):
        for one in value.values():
            _tensors(one, found)
    elif type(value) not in _PLAIN:
        found += [one for one in tree_leaves(value) if isinstance(one, Tensor)]
    return found


def aligned(model: PreTrainedModel) -> PreTrainedModel:
    """A model with its weights in memory of their own, since last bits depend on where they begin.

    As they are read they lie one behind the other in a file.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()
    return model


def load(folder: Path, n_cards: int, mode: LabelledCards, free: int = 19) -> LoadedModel:
    """A model over so many cards, of which each has room for one block, or for what is said."""

    def read(folder: Path, dtype: str, device_by_module: Any = None) -> PreTrainedModel:
        model = aligned(own(folder, dtype, device_by_module))
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            card = max((one for one in device_by_module if name.startswith(one)), key=len)
            mode._label(tensor, device_by_module[card])
        for _, buffer in model.named_non_persistent_buffers():
            if buffer.is_floating_point():
                buffer.mul_(1 + 1e-6)  # as computed on a GPU, which rounds in its own way
        return model

    def size_of(_model: Any, blocks: Any, _width: int) -> Size:
        return Size((10,) * len(blocks), 9)

    own, devices = loading.read, [torch.device("cpu", number) for number in range(n_cards)]
    with pytest.MonkeyPatch.context() as patch, mode:
        patch.setattr(loading, "read", read)
        patch.setattr(loading, "devices_of", lambda _name: devices)
        patch.setattr(spreading, "size_of", size_of)
        patch.setattr(spreading, "free_bytes", lambda _device: free)
        return loading.load(folder)


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
