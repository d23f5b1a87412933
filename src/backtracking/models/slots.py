"""A key-value cache of slots: rows at positions of their own, of which some end and others begin.

A row's keys and values fill its slot from the first position on, so nothing is padded on the left.
The rows of a call stand in neighbouring slots; each sees its own slot up to its own position, by a
mask, and what an earlier row left behind there is overwritten before it is seen. Sliding windows
are masks too. That is right in a model whose attention is what its mask says, at the positions that
it is told: all other models are named, with the reason.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from backtracking.models.holdable import other_layers
from backtracking.models.loading import LoadedModel
from backtracking.models.trees import attention_of, off_by, windows

ROOM = 64
"""Positions that slots grow by at least, and by a quarter: what is filled is copied then."""

_KINDS = (DynamicLayer, DynamicSlidingWindowLayer)

_reason_by_model: WeakKeyDictionary[nn.Module, str | None] = WeakKeyDictionary()


class Slots(DynamicCache):
    """Keys and values of rows that come and go.

    Args:
        loaded: the model.
        n: slots.
        longest: positions that a row may need; slots grow up to there as rows do.
    """

    def __init__(self, loaded: LoadedModel, n: int, longest: int) -> None:
        super().__init__(config=loaded.model.config)
        self.n, self.longest = n, longest
        self.rows, self.end = slice(0, 0), 0
        self.index = self.positions = torch.zeros(0, 0, dtype=torch.long)
        self.layers = [_SlotLayer(self) for _ in self.layers]

    def place(
        self, loaded: LoadedModel, first: int, starts: Sequence[int], width: int
    ) -> dict[str, Any]:
        """What a call is told whose rows read tokens into neighbouring slots.

        Args:
            loaded: the model.
            first: slot of the first row.
            starts: the position of each row's first token.
            width: tokens of each row.
        """
        begin = torch.tensor(starts)[:, None]
        self.rows, self.end = slice(first, first + len(starts)), max(starts) + width
        self.positions = (begin + torch.arange(width)).to(loaded.device)
        self.index = torch.arange(len(starts), device=loaded.device)[:, None]
        masks = {kind: self._mask(loaded, window) for kind, window in windows(loaded).items()}
        return {
            "attention_mask": attention_of(masks),
            "position_ids": self.positions,
            "past_key_values": self,
        }

    def copy(self, sources: Sequence[int], targets: Sequence[int], end: int) -> None:
        """Copies slots over others, up to a position."""
        for layer in self.layers:
            for buffer in (layer.keys, layer.values):
                if buffer is not None:
                    buffer[list(targets), :, :end] = buffer[list(sources), :, :end]

    def _mask(self, loaded: LoadedModel, window: int | None) -> Float[Tensor, "rows one pos seen"]:
        """What is added to attention, where a token does not see another."""
        back = self.positions[:, None, :, None] - torch.arange(self.end, device=loaded.device)
        seen = back >= 0 if window is None else (back >= 0) & (back < window)
        dtype = loaded.model.dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=loaded.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)


class _SlotLayer(DynamicLayer):
    """Keys and values of one layer; zeros where nothing was written, which no mask can hide."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self.slots = slots

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Takes keys and values of the call's tokens; returns those of its rows up to the last."""
        if self.keys is None or self.values is None or not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states[:0], value_states[:0]
        slots = self.slots
        self.keys, self.values = (
            self._roomy(buffer, new)
            for buffer, new in ((self.keys, key_states), (self.values, value_states))
        )
        found = []
        for buffer, new in ((self.keys, key_states), (self.values, value_states)):
            rows, at = buffer[slots.rows], slots.positions.to(new.device)
            rows[slots.index.to(new.device), :, at] = new.transpose(1, 2)
            found.append(rows[:, :, : slots.end])
        return found[0], found[1]

    def _roomy(self, buffer: Tensor, new: Tensor) -> Tensor:
        """The buffer, or a longer one with what it holds."""
        end, room = self.slots.end, buffer.shape[2] if len(buffer) else 0
        if end <= room:
            return buffer
        room = min(max(end, self.slots.longest), -(-(end + end // 4) // ROOM) * ROOM)
        grown = new.new_zeros(self.slots.n, new.shape[1], room, new.shape[3])
        grown[: len(buffer), :, : buffer.shape[2]] = buffer
        return grown


def why_not(loaded: LoadedModel) -> str | None:
    """Why a model's rows cannot stand at positions of their own; None where they can."""
    if loaded.model not in _reason_by_model:
        _reason_by_model[loaded.model] = _reason(loaded)
    return _reason_by_model[loaded.model]


def _reason(loaded: LoadedModel) -> str | None:
    layers = DynamicCache(config=loaded.model.config).layers
    others = {type(one).__name__ for one in layers if type(one) not in _KINDS}
    others |= other_layers(loaded.model.config).keys()
    if others or not layers:
        return f"its cache has layers of other kinds ({', '.join(sorted(others)) or 'none'})"
    try:
        off = _off_by(loaded)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        return f"it takes no rows at positions of their own ({error})"
    return None if off is None else f"its logits are then off by {off:.2g} of their norm"


@torch.inference_mode()
def _off_by(loaded: LoadedModel) -> float | None:
    """How far logits behind two short texts are from those of each read by itself."""
    texts = [torch.arange(3, 12), torch.arange(4, 9)]
    slots = Slots(loaded, len(texts), len(texts[0]))
    padded = nn.utils.rnn.pad_sequence([text[:-1] for text in texts], batch_first=True)
    last, ends = torch.stack([text[-1:] for text in texts]), [len(text) - 1 for text in texts]
    for ids, starts in ((padded, [0] * len(texts)), (last, ends)):
        told = slots.place(loaded, 0, starts, ids.shape[1])
        logits = loaded.model(ids.to(loaded.device), use_cache=True, **told).logits
    found = [
        off_by(logits[row, -1], loaded.model(text[None].to(loaded.device)).logits[0, -1])
        for row, text in enumerate(texts)
    ]
    return next((off for off in found if off is not None), None)
