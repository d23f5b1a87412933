"""Where a model's decoder blocks and final norm are, and proof that they are what they seem."""

import copy
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from backtracking.models import hooks
from lifeboat.stage.errors import UserError

NAMES: dict[str, tuple[str, str]] = dict.fromkeys(
    (
        "Gemma2ForCausalLM", "Gemma3ForCausalLM", "LlamaForCausalLM", "MistralForCausalLM",
        "Olmo2ForCausalLM", "Phi3ForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM",
    ),
    ("model.layers", "model.norm"),
)  # fmt: skip
"""By architecture, the names of the modules with the blocks and of the final norm.

They are those that TransformerLens' adapters give (a test compares); all others are asked for.
"""

_SEES_NOTHING = 1e-2
"""Of the norm: what rounding alone may change."""
PROBE = "Wait, 9 is too big.\nBack to 27 : it's   no w0 . <s> wrong"


def find_parts(
    model: PreTrainedModel, folder: Path
) -> tuple[tuple[nn.Module, ...], nn.Module, int]:
    """Blocks, final norm and width.

    Raises:
        UserError: naming an architecture that TransformerLens has no adapter for.
    """
    architecture = type(model).__name__
    names = NAMES.get(architecture) or ask_adapter(model, folder)
    try:
        blocks, final_norm = (model.get_submodule(name) for name in names)
    except AttributeError as error:
        raise _unknown(folder, architecture, error) from None
    return tuple(blocks.children()), final_norm, model.config.get_text_config().hidden_size


def ask_adapter(model: PreTrainedModel, folder: Path) -> tuple[str, str]:
    """Names of the modules with the blocks and of the final norm, by TransformerLens' adapter.

    Raises:
        UserError: naming an architecture that TransformerLens has no adapter for.
    """
    # Importing transformer_lens takes about 3 s, so only those pay who load another architecture.
    from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
    from transformer_lens.model_bridge.sources import build_bridge_config_from_hf

    architecture = type(model).__name__
    try:
        config: Any = build_bridge_config_from_hf(
            copy.deepcopy(model.config), architecture, str(folder), model.dtype
        )
        adapter = ArchitectureAdapterFactory.select_architecture_adapter(config)
        mapping = adapter.get_component_mapping()
        return str(mapping["blocks"].name), str(mapping["ln_final"].name)
    except Exception as error:  # an adapter may lack a package, or what it expects of a config
        if (names := _usual_names(model)) is not None:
            return names
        raise _unknown(folder, architecture, error) from None


def _usual_names(model: PreTrainedModel) -> tuple[str, str] | None:
    """As most decoders name them, that of a wrapper class included; `require_layers` proves it."""
    inner: Any = model.get_decoder()
    place = next((name for name, module in model.named_modules() if module is inner), None)
    if place is None or not (hasattr(inner, "layers") and hasattr(inner, "norm")):
        return None
    return f"{place}.layers", f"{place}.norm"


def _unknown(folder: Path, architecture: str, error: Exception) -> UserError:
    return UserError(
        f"{folder} holds a {architecture}, in which TransformerLens does not know the decoder "
        f"blocks: {error}",
        "Use a decoder-only architecture that TransformerLens supports.",
    )


def require_layers(
    model: PreTrainedModel, blocks: tuple[nn.Module, ...], d_model: int, folder: Path
) -> None:
    """Checks on two texts of two tokens that block l gives `hidden_states[l + 1]` of transformers.

    The texts begin alike, and what stands there must not depend on what follows.

    Raises:
        UserError: naming the architecture whose layers would be misnamed, or whose tokens see what
            comes after them.
    """
    ids = torch.tensor([[0, 1], [0, 2]], device=model.device)
    with torch.inference_mode(), hooks.capture(blocks, range(len(blocks))) as resid_post_by_layer:
        hidden_states = model(ids, output_hidden_states=True, use_cache=False).hidden_states
    fits = len(hidden_states) == len(blocks) + 1 == len(resid_post_by_layer) + 1
    fits = fits and resid_post_by_layer[0].shape == (2, 2, d_model)
    # The last entry of hidden_states is taken after the final norm.
    for layer in range(len(blocks) - 1):
        fits = fits and torch.equal(resid_post_by_layer[layer], hidden_states[layer + 1])
    if not fits:
        raise UserError(
            f"{folder} holds a {type(model).__name__}, whose {len(blocks)} blocks do not give the "
            "hidden states that transformers reports.",
            "Use another model: layers would be misnamed here.",
        )
    first, second = resid_post_by_layer[len(blocks) - 1][:, 0].double()
    if (first - second).norm() > _SEES_NOTHING * first.norm():
        raise UserError(
            f"{folder} holds a {type(model).__name__}, in which tokens see what comes after them.",
            "Use a causal model: what a trace's tokens say must not depend on its end.",
        )


def is_as_filed(tokenizer: PreTrainedTokenizerBase, folder: Path) -> bool:
    """Whether a tokenizer splits a probe text as its tokenizer.json does, where there is one."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return True
    filed = Tokenizer.from_file(str(path)).encode(PROBE, add_special_tokens=False).ids
    return tokenizer.encode(PROBE, add_special_tokens=False) == filed
