"""Tiny models of every family that can be made small, and of what changes with the length.

`LIMIT` is the length at which those change their formula that do; `CONTEXT` is the longest that a
model is made for, or that it has positions for.
"""

from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

LIMIT, CONTEXT, WINDOW = 24, 48, 8
LENGTHS = (8, 26, 23, 40, 9, 24, 25, 12)
"""Ragged, on both sides of the limit and of the window, in no order."""

_BASE: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": CONTEXT,
    "initializer_range": 0.4, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_HEAD = {"head_dim": 4}
_WINDOW = {**_HEAD, "sliding_window": WINDOW}
_EXPERTS = {
    "num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
    "n_routed_experts": 4,
}  # fmt: skip
_LATENT = {
    "q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 4, "qk_rope_head_dim": 4,
    "v_head_dim": 4, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
    "num_key_value_heads": 4, **_EXPERTS,
}  # fmt: skip
_MAMBA = {
    "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_expand": 2, "mamba_n_groups": 1,
    "mamba_d_state": 8,
}  # fmt: skip
_GPT = {"n_embd": 16, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT, "rotary_dim": 4}
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.0],
    "long_factor": [4.0, 16.0], "original_max_position_embeddings": LIMIT,
}  # fmt: skip
_LONG = {"rope_parameters": _LONGROPE, "original_max_position_embeddings": LIMIT}
_DYNAMIC = {
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    "max_position_embeddings": LIMIT,
}
_YARN = {
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0,
    "original_max_position_embeddings": LIMIT,
}  # fmt: skip
_PHIMOE = {
    "rope_parameters": {**_LONGROPE, "short_mscale": 1.2, "long_mscale": 1.5},
    "original_max_position_embeddings": LIMIT,
    **_EXPERTS,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": {**_WINDOW, **_EXPERTS},
    "apertus": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    "arcee": _HEAD,
    "bamba": _MAMBA,
    "bitnet": {},
    "bloom": {"n_layer": 3, "n_head": 4},
    "codegen": _GPT,
    "cohere": {},
    "cohere2": _WINDOW,
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "ernie4_5": _HEAD,
    "ernie4_5_moe": {**_HEAD, **_EXPERTS},
    "exaone4": _WINDOW,
    "falcon": {},
    "falcon_h1": {**_HEAD, **_MAMBA, "mamba_d_ssm": 32},
    "bert": {},
    "falcon_mamba": {},
    "flex_olmo": _EXPERTS,
    "gemma": _HEAD,
    "gemma2": _WINDOW,
    "gemma3_text": _WINDOW,
    "gemma4_text": {
        **_WINDOW,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 40,
        "global_head_dim": 8,
    },
    "glm": _HEAD,
    "glm4": _HEAD,
    "glm4_moe": {**_HEAD, **_EXPERTS, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": {**_LATENT, "index_topk": WINDOW, "index_n_heads": 16, "index_head_dim": 8},
    "gpt2": _GPT,
    "gpt_bigcode": _GPT,
    "gpt_neo": {
        "num_layers": 2,
        "num_heads": 4,
        "num_hidden_layers": 2,
        "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
    },
    "gpt_neox": {},
    "gpt_oss": {**_WINDOW, **_EXPERTS},
    "gptj": _GPT,
    "granite": {},
    "granitemoe": _EXPERTS,
    "granitemoehybrid": {**_MAMBA, **_EXPERTS, "layer_types": ["mamba", "attention", "mamba"]},
    "hunyuan_v1_dense": _HEAD,
    "jais2": _HEAD,
    "jamba": {
        **_EXPERTS,
        "use_mamba_kernels": False,
        "mamba_dt_rank": 8,  # a norm of one or two numbers amplifies rounding a hundredfold
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
    },
    "jetmoe": {**_EXPERTS, "kv_channels": 4},
    "laguna": {**_WINDOW, **_EXPERTS},
    "lfm2": {},
    "llama": {},
    "llama4_text": {**_HEAD, **_EXPERTS, "attention_chunk_size": WINDOW, "floor_scale": 16},
    "mamba": {},
    "mamba2": {"num_heads": 4, "head_dim": 8, "n_groups": 1, "state_size": 8},
    "minimax_m2": {**_HEAD, **_EXPERTS},
    "ministral3": _WINDOW,
    "mistral": _WINDOW,
    "mixtral": _EXPERTS,
    "modernbert-decoder": {"local_attention": WINDOW},
    "mpt": {"d_model": 16, "n_heads": 4, "n_layers": 3, "max_seq_len": CONTEXT},
    "nanochat": _HEAD,
    "nemotron": _HEAD,
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "olmo_hybrid": {},
    "olmoe": _EXPERTS,
    "openai-gpt": _GPT,
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 16},
    "phi": {},
    "phi3": {},
    "phimoe": _PHIMOE,
    "qwen2": {},
    "qwen2_moe": {**_EXPERTS, "shared_expert_intermediate_size": 8},
    "qwen3": _HEAD,
    "qwen3_5_text": _HEAD,
    "qwen3_moe": {**_HEAD, **_EXPERTS},
    "qwen3_next": {**_HEAD, **_EXPERTS, "shared_expert_intermediate_size": 8},
    "recurrent_gemma": {"attention_window_size": WINDOW, "lru_width": 16},
    "rwkv": {"context_length": CONTEXT, "attention_hidden_size": 16},
    "seed_oss": _HEAD,
    "smollm3": {},
    "stablelm": {},
    "starcoder2": {"sliding_window": WINDOW},
    "vaultgemma": _WINDOW,
    "xglm": {"d_model": 16, "ffn_dim": 32, "attention_heads": 4, "num_layers": 3},
    "youtu": _LATENT,
}
"""By model type, what makes it small."""

REFUSED = {
    "bert": "a BertLMHeadModel, in which tokens see what comes after them",
    "falcon_mamba": "a FalconMambaForCausalLM, whose 3 blocks do not give the hidden states",
    "mamba": "a MambaForCausalLM, whose 3 blocks do not give the hidden states",
    "mamba2": "a Mamba2ForCausalLM, whose 3 blocks do not give the hidden states",
    "openai-gpt": "a OpenAIGPTLMHeadModel, in which TransformerLens does not know the decoder",
    "rwkv": "a RwkvForCausalLM, whose 3 blocks do not give the hidden states",
}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "phi3-longrope": ("phi3", _LONG),
    "llama-longrope": ("llama", _LONG),
    "minicpm-like-qwen2-longrope": ("qwen2", _LONG),
    "llama-dynamic": ("llama", _DYNAMIC),
    "gpt-neox-dynamic": ("gpt_neox", {**_DYNAMIC, "rope_parameters": {
        **_DYNAMIC["rope_parameters"], "partial_rotary_factor": 1.0}}),
    "starcoder2-dynamic": ("starcoder2", {**_DYNAMIC, "sliding_window": None}),
    "gemma3-dynamic-in-one-kind-of-layer": ("gemma3_text", {
        **_WINDOW, "max_position_embeddings": LIMIT,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {
            "full_attention": _DYNAMIC["rope_parameters"],
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}}),
    "llama-yarn": ("llama", {"rope_parameters": _YARN}),
    "falcon-alibi": ("falcon", {"alibi": True}),
    "qwen2-sliding": ("qwen2", {
        "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}),
    "phi3-sliding": ("phi3", {"sliding_window": WINDOW}),
}  # fmt: skip
"""What changes with the length in other ways: by name, the model type and its settings."""


def build(name: str, seed: int = 0) -> PreTrainedModel:
    """A random model of a family or variant."""
    kind, own = VARIANTS.get(name, (name, FAMILIES.get(name, {})))
    config = CONFIG_MAPPING[kind](**{**_BASE, **own})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()
