"""What a token takes of a device's memory while a model works, and so how many fit beside weights.

From the shape of a model alone. What the allocator takes beside what it is asked for is a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "prompts", "draws", "tails", "edits", "arms", "prefixes", "texts", "ablated prefixes"
]
"""Work that goes through a model, by what its items are called."""
Part = Literal["cache", "call", "outputs"]

PARTS: Mapping[Kind, tuple[Part, ...]] = {
    "prompts": ("cache",),
    "draws": ("cache",),
    "tails": ("cache",),
    "edits": ("cache", "call"),
    "arms": ("call",),
    "prefixes": ("call",),
    "texts": ("call",),
    "ablated prefixes": ("call", "outputs"),
}
"""What stays in memory for each token of an item."""

ROOMY = 1.1
"""Memory that the allocator takes, of what is asked of it: a guess."""
HELD_LOGITS = 1 << 29
"""Bytes of `heads.N_VALUES` logits, in float32 and twice."""
READ_AT_ONCE = 2048
"""Tokens of prompts that a call reads while others are written."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of one token.

    Attributes:
        cache: its keys and values, in all blocks.
        call: what a block computes for it.
        outputs: what all blocks return for it.
    """

    cache: int
    call: int
    outputs: int

    @classmethod
    def of(cls, n_layers: int, n_kv: int, d_model: int, d_mlp: int, width: int) -> "Footprint":
        """In a decoder.

        Args:
            n_layers: its blocks.
            n_kv: numbers that the cache of a block holds for a token.
            d_model: width of the residual stream.
            d_mlp: width within an MLP.
            width: bytes of a number.
        """
        call = 4 * d_model + 3 * d_mlp
        return cls(width * n_layers * n_kv, width * call, width * n_layers * d_model)

    @classmethod
    def of_config(cls, config: Any, n_layers: int, width: int) -> "Footprint":
        """In a model that transformers has loaded, all layers taken to be as the largest."""
        text = config.get_text_config()
        n_heads, d_model = _most(text, "num_attention_heads") or 1, text.hidden_size
        n_kv_heads = _most(text, "num_key_value_heads") or n_heads
        d_head = _most(text, "head_dim") or d_model // n_heads
        d_mlp = _most(text, "intermediate_size") or 4 * d_model
        return cls.of(n_layers, 2 * n_kv_heads * d_head, d_model, d_mlp, width)

    def n_bytes(self, kind: Kind, n_tokens: int) -> float:
        """Bytes that so many tokens of a kind of work take."""
        each, beside = self._each(kind)
        return ROOMY * (beside + n_tokens * each)

    def n_tokens(self, kind: Kind, free: float | int) -> int:
        """Tokens of a kind of work that so many bytes hold; 0 where there is no room to work."""
        each, beside = self._each(kind)
        return max(0, int((free / ROOMY - beside) // each))

    def _each(self, kind: Kind) -> tuple[int, int]:
        """Bytes of a token, and those of logits and of prompts that are read meanwhile."""
        parts = PARTS[kind]
        beside = HELD_LOGITS + (0 if "call" in parts else READ_AT_ONCE * self.call)
        return sum(getattr(self, part) for part in parts), beside


def _most(text: Any, name: str) -> int | None:
    """The largest value that a layer has; None where the configuration has none."""
    values = [getattr(layer, name, None) for layer in getattr(text, "per_layer_config", [text])]
    some = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return max((one for one in some if one is not None), default=None)
