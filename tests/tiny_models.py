"""Tiny random models of three families, in folders as `save_pretrained` writes them."""

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

FAMILIES = ("llama", "gpt2", "qwen2")
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
    }
    if family == "gpt2":
        return GPT2Config(
            n_embd=D_MODEL,
            n_layer=N_LAYERS,
            n_head=2,
            n_positions=CONTEXT,
            initializer_range=0.4,
            **special,
        )
    config = {"llama": LlamaConfig, "qwen2": Qwen2Config}[family]
    return config(
        hidden_size=D_MODEL,
        intermediate_size=32,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        **special,
    )
