"""Whether two devices compute the same with a tiny random model, its hooks included."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from backtracking.models import hooks


@dataclass(frozen=True)
class Computed:
    """What one device computed, brought to the CPU.

    Attributes:
        logits: of the plain model.
        from_hook: logits made from the last block's `resid_post` as the hook reads it.
        resid_post: of the first block.
        change: what `add_vector` at the first block changed there.
        steered: logits with the vector added.
    """

    logits: Float[Tensor, "batch pos d_vocab"]
    from_hook: Float[Tensor, "batch pos d_vocab"]
    resid_post: Float[Tensor, "batch pos d_model"]
    change: Float[Tensor, "batch pos d_model"]
    steered: Float[Tensor, "batch pos d_vocab"]


def deviations(
    n_layers: int, d_model: int, n_tokens: int, devices: list[str]
) -> dict[str, dict[str, float]]:
    """Deviations by verdict and by device (and part), from torch's random state.

    `hook_reads_resid_post`: logits made from what `capture` reads, against the model's own.
    `add_vector_adds`: the change that `capture` sees, against the vector. `devices_agree`: every
    further device against the first; empty where there is only one.
    """
    model = build(n_layers, d_model, n_tokens)
    ids = torch.randint(0, model.config.vocab_size, (2, n_tokens))
    vector = torch.randn(2, d_model)
    by_device = {name: compute(model.to(name), ids, vector) for name in devices}  # type: ignore[arg-type]
    reference = by_device[devices[0]]
    return {
        "hook_reads_resid_post": {
            name: deviation(c.from_hook, c.logits) for name, c in by_device.items()
        },
        "add_vector_adds": {
            name: deviation(c.change, vector[:, None].expand_as(c.change))
            for name, c in by_device.items()
        },
        "devices_agree": {
            f"{name} {part}": deviation(getattr(by_device[name], part), getattr(reference, part))
            for name in devices[1:]
            for part in ("logits", "resid_post", "steered")
        },
    }


def build(n_layers: int, d_model: int, n_tokens: int) -> LlamaForCausalLM:
    """A random Llama of 64 words, from torch's random state."""
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=d_model,
        intermediate_size=4 * d_model,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=n_tokens,
    )
    return LlamaForCausalLM(config).eval()


def compute(
    model: LlamaForCausalLM, ids: Int[Tensor, "batch pos"], vector: Float[Tensor, "batch d_model"]
) -> Computed:
    """A plain pass, and one with `vector` added to `resid_post` of the first block."""
    blocks, ids = list(model.model.layers), ids.to(model.device)
    last = len(blocks) - 1
    with torch.no_grad():
        with hooks.capture(blocks, [0, last]) as plain:
            logits = model(ids).logits
        from_hook = model.lm_head(model.model.norm(plain[last]))
        with hooks.add_vector(blocks, 0, vector), hooks.capture(blocks, [0]) as changed:
            steered = model(ids).logits
    computed = (logits, from_hook, plain[0], changed[0] - plain[0], steered)
    return Computed(*(tensor.cpu() for tensor in computed))


def deviation(found: Float[Tensor, "*shape"], expected: Float[Tensor, "*shape"]) -> float:
    """Largest absolute difference, as a share of the largest absolute expected value.

    A value that is not a number anywhere makes it infinite.
    """
    value = float((found - expected).abs().max() / expected.abs().max())
    return math.inf if math.isnan(value) else value
