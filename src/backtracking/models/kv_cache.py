"""Key-value caches: one that grows without copying the past, and one whose past many rows share."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from backtracking.models.loading import LoadedModel
from lifeboat.stage.errors import UserError

CHUNK = 32
"""Positions that a buffer grows by. The gaps that a large chunk leaves between rows make attention
on a CPU slow; a small one copies more often. 8 to 32 were equally fast, 128 a third slower."""


def empty_cache(config: PreTrainedConfig) -> DynamicCache:
    """A cache with the kinds of layers that the model asks for, the plain ones growing in place."""
    cache = DynamicCache(config=config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


class Past(DynamicCache):
    """Keys and values of one row, with the token ids that they are of."""

    ids: tuple[int, ...] = ()


@torch.inference_mode()
def read(loaded: LoadedModel, ids: Sequence[int], n_behind: int = 0) -> Past:
    """Keys and values of these tokens, in one row, as they are where so many stand behind them."""
    require_none_remembered(loaded)
    cache = Past(config=loaded.model.config)
    cache.ids = tuple(ids)
    tokens = torch.tensor([[*ids, *[0] * n_behind]], device=loaded.device)
    loaded.model(input_ids=tokens, past_key_values=cache, use_cache=True)
    if n_behind:
        cache.crop(-n_behind)
    return cache


def before(loaded: LoadedModel, past: DynamicCache, n_behind: int) -> DynamicCache:
    """The row of a cache as it is where so many tokens stand behind it.

    It is read again where the model changes its formula on the way.
    """
    if not loaded.lengths.vary or not isinstance(past, Past):
        return past
    n, formula = len(past.ids), loaded.lengths.formula
    if formula(n) == formula(n + n_behind):
        return past
    return read(loaded, past.ids, n_behind)


def require_none_remembered(loaded: LoadedModel) -> None:
    """Checks that what was read of a text stands in the cache alone, where rows can be chosen.

    Raises:
        UserError: naming what modules remember.
    """
    if loaded.lengths.remembered:
        raise UserError(
            f"{type(loaded.model).__name__} keeps what it has read in its modules "
            f"({loaded.lengths.remembered[0]}): texts would be mixed where several are written.",
            "Use another model to write and steer; its activations can be extracted.",
        )


def repeated(cache: DynamicCache, n: int) -> DynamicCache:
    """The one row of a cache as n rows that share their memory, where its layers allow it.

    The cache itself stays as it is when the rows grow.
    """
    found = copy.deepcopy(cache)
    layers: list[Any] = found.layers
    for layer in layers:
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            layer.keys, layer.values = (
                one.expand(n, *one.shape[1:]) for one in (layer.keys, layer.values)
            )
        else:
            layer.batch_repeat_interleave(n)
    return found


def grown(cache: DynamicCache, n: int) -> DynamicCache:
    """The one row of a cache as n rows that grow in place, for what is written behind it."""
    found = repeated(cache, n)
    for number, layer in enumerate(found.layers):
        if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
            found.layers[number] = growing = GrowingLayer()
            growing.update(layer.keys, layer.values)
    return found


def cuttable(loaded: LoadedModel) -> DynamicCache | None:
    """An empty cache that can be cut anywhere; None where some layer of the model's forgets."""
    cache = DynamicCache(config=loaded.model.config)
    return cache if all(type(layer) is DynamicLayer for layer in cache.layers) else None


def cut(cache: DynamicCache, n: int, n_rows: int = 1) -> DynamicCache:
    """The first n positions of a cache's one row, as so many rows, which all share its memory.

    It stays as it is as they grow.
    """
    found = copy.copy(cache)
    found.layers = [copy.copy(layer) for layer in cache.layers]
    layers: list[Any] = found.layers
    for layer in layers:
        layer.keys, layer.values = (
            one[:, :, :n].expand(n_rows, -1, -1, -1) for one in (layer.keys, layer.values)
        )
    return found


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, as views into buffers with room for the tokens to come."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Takes the keys and values of new positions, and returns those of all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.key_buffer, self.value_buffer = key_states[:, :, :0], value_states[:, :, :0]
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if end > self.key_buffer.shape[2]:
            self.key_buffer = _grow(self.key_buffer, start, end)
            self.value_buffer = _grow(self.value_buffer, start, end)
        self.key_buffer[:, :, start:end] = key_states
        self.value_buffer[:, :, start:end] = value_states
        self._view(end)
        return self.keys, self.values  # type: ignore[return-value]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps these rows of the batch."""
        end, rows = self.get_seq_length(), indices.to(self.key_buffer.device)
        self.key_buffer, self.value_buffer = self.key_buffer[rows], self.value_buffer[rows]
        self._view(end)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """As `batch_select_indices`, by the name that layers of every kind have."""
        self.batch_select_indices(beam_idx)

    def _view(self, end: int) -> None:
        self.keys, self.values = self.key_buffer[:, :, :end], self.value_buffer[:, :, :end]


def _grow(
    buffer: Float[Tensor, "batch n_heads room d_head"], filled: int, needed: int
) -> Float[Tensor, "batch n_heads more_room d_head"]:
    batch, n_heads, _, d_head = buffer.shape
    grown = buffer.new_empty(batch, n_heads, -(-needed // CHUNK) * CHUNK, d_head)
    grown[:, :, :filled] = buffer[:, :, :filled]
    return grown
