"""Shapes of published models, as their config.json on the hub have them.

So that what a study needs is known before anything of it is fetched. A model that is here is
measured instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from backtracking.models.footprint import Footprint


@dataclass(frozen=True)
class Shape:
    """A decoder with gated MLPs and grouped attention.

    Attributes:
        n_layers: decoder blocks.
        d_model: width of the residual stream.
        d_mlp: width within an MLP.
        n_heads, n_kv_heads: attention heads, and those that have keys and values of their own.
        d_vocab: rows of the embedding.
        is_tied: whether the embedding is the unembedding too.
        d_head: width of a head.
        context: positions that it was trained on, as far as is known; None where no study here
            comes near them.
    """

    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_vocab: int
    is_tied: bool = False
    d_head: int = 128
    context: int | None = None

    @property
    def n_parameters(self) -> int:
        """Parameters, those of norms and biases left out."""
        attention = 2 * self.d_model * self.d_head * (self.n_heads + self.n_kv_heads)
        return self.n_layers * (attention + 3 * self.d_model * self.d_mlp) + self.n_outside

    @property
    def n_outside(self) -> int:
        """Of them, those of embedding and unembedding."""
        return self.d_vocab * self.d_model * (1 if self.is_tied else 2)

    @property
    def kv_values(self) -> int:
        """Numbers that the cache holds for one token."""
        return 2 * self.n_layers * self.n_kv_heads * self.d_head

    def token(self, width: int) -> Footprint:
        """What one takes of memory, where a number has so many bytes."""
        n_kv = self.kv_values // self.n_layers
        return Footprint.of(self.n_layers, n_kv, self.d_model, self.d_mlp, width)


_LLAMA_8B = Shape(32, 4096, 14336, 32, 8, 128256)
_QWEN2_1_5B = Shape(28, 1536, 8960, 12, 2, 151936, True)
_QWEN2_MATH = replace(_QWEN2_1_5B, context=4096)
_QWEN2_14B = Shape(48, 5120, 13824, 40, 8, 152064)
_QWEN3_8B = Shape(36, 4096, 12288, 32, 8, 151936)

SHAPES: Mapping[str, Shape] = {
    "Qwen/Qwen1.5-7B": Shape(32, 4096, 11008, 32, 32, 151936),
    "Qwen/Qwen2-1.5B": _QWEN2_1_5B,
    "Qwen/Qwen2.5-14B": _QWEN2_14B,
    "Qwen/Qwen2.5-14B-Instruct": _QWEN2_14B,
    "Qwen/Qwen2.5-Math-1.5B": _QWEN2_MATH,
    "Qwen/Qwen2.5-Math-1.5B-Instruct": _QWEN2_MATH,
    "Qwen/Qwen3-14B-Base": Shape(40, 5120, 17408, 40, 8, 151936),
    "Qwen/Qwen3-8B": _QWEN3_8B,
    "Qwen/Qwen3-8B-Base": _QWEN3_8B,
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": _LLAMA_8B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": Shape(28, 1536, 8960, 12, 2, 151936),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": _QWEN2_14B,
    "marin-community/marin-8b-base": replace(_LLAMA_8B, context=4096),
    "meta-llama/Llama-3.1-8B": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
}
"""By id of the hub."""
