"""A key-value cache for generation that does not copy the past at every token."""

from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

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
        end = self.get_seq_length()
        self.key_buffer, self.value_buffer = self.key_buffer[indices], self.value_buffer[indices]
        self._view(end)

    def _view(self, end: int) -> None:
        self.keys, self.values = self.key_buffer[:, :, :end], self.value_buffer[:, :, :end]


def _grow(
    buffer: Float[Tensor, "batch n_heads room d_head"], filled: int, needed: int
) -> Float[Tensor, "batch n_heads more_room d_head"]:
    batch, n_heads, _, d_head = buffer.shape
    grown = buffer.new_empty(batch, n_heads, -(-needed // CHUNK) * CHUNK, d_head)
    grown[:, :, :filled] = buffer[:, :, :filled]
    return grown
