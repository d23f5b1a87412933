"""Tiny random models of many families, in folders as `save_pretrained` writes them."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Olmo2Config,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

FAMILIES = ("llama", "gpt2", "qwen2")
"""Where three ways to build a block are enough."""
WORDS = ("<pad>", "<s>", "</s>", "<unk>", ".", "Wait", *(f"w{i}" for i in range(34)))
EOS, FULL_STOP = 2, 4
N_LAYERS, D_MODEL, CONTEXT = 3, 16, 128


def save_model(folder: Path, family: str = "llama", seed: int = 0) -> Path:
    """Writes weights and tokenizer of a random model."""
    build_model(family, seed).save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    return folder


def build_model(family: str, seed: int = 0) -> PreTrainedModel:
    """A random model whose weights are large enough for clear preferences."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(_config(family))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )


def make_prompts(n: int, seed: int = 0) -> list[list[int]]:
    """Prompts of 1 to 12 tokens, with full stops in them."""
    chosen = random.Random(seed)
    return [
        [1, *(chosen.randrange(FULL_STOP, len(WORDS) - 25) for _ in range(chosen.randrange(12)))]
        for _ in range(n)
    ]


def make_keys(n: int) -> list[str]:
    """One name a prompt."""
    return [f"problem/{row}" for row in range(n)]


def _config(family: str) -> PreTrainedConfig:
    special: dict[str, Any] = {
        "vocab_size": len(WORDS),
        "bos_token_id": 1,
        "eos_token_id": EOS,
        "pad_token_id": 0,
        "initializer_range": 0.4,
    }
    config, own = CONFIGS[family]
    shape = {} if config in _OWN_NAMES else _SHAPE
    return config(**{**special, **shape, **own})


_SHAPE: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "intermediate_size": 32,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
_OWN_NAMES = (GPT2Config, GPTNeoXConfig, OPTConfig, BloomConfig)
_NEOX: dict[str, Any] = {
    "hidden_size": D_MODEL,
    "intermediate_size": 32,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
_GEMMA: dict[str, Any] = {"head_dim": 4, "sliding_window": 8, "query_pre_attn_scalar": 4}
CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {}),
    "qwen2": (Qwen2Config, {}),
    "qwen3": (Qwen3Config, {"head_dim": 4}),
    "gemma2": (Gemma2Config, _GEMMA),
    "gemma3": (Gemma3TextConfig, {**_GEMMA, "sliding_window_pattern": 2}),
    "mistral": (MistralConfig, {"sliding_window": 8}),
    "phi3": (Phi3Config, {}),
    "gpt2": (
        GPT2Config,
        {"n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": 2, "n_positions": CONTEXT},
    ),
    "gpt-neox": (GPTNeoXConfig, {**_NEOX, "use_parallel_residual": True}),
    "gpt-neox-sequential": (GPTNeoXConfig, {**_NEOX, "use_parallel_residual": False}),
    "opt": (
        OPTConfig,
        {
            "hidden_size": D_MODEL,
            "ffn_dim": 32,
            "num_hidden_layers": N_LAYERS,
            "num_attention_heads": 4,
            "max_position_embeddings": CONTEXT,
            "word_embed_proj_dim": D_MODEL,
        },
    ),
    "olmo2": (Olmo2Config, {}),
    "mixtral": (MixtralConfig, {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3-moe": (
        Qwen3MoeConfig,
        {
            "head_dim": 4,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 8,
            "decoder_sparse_step": 1,
            "norm_topk_prob": True,
        },
    ),
    "bloom": (BloomConfig, {"hidden_size": D_MODEL, "n_layer": N_LAYERS, "n_head": 4}),
    "granite": (GraniteConfig, {"residual_multiplier": 0.3}),
}
"""The families that extraction is tested on; Granite scales what attention and MLP add."""
