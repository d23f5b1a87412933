"""The class of transformers that a configuration asks for, and a model of it without numbers."""

from pathlib import Path
from typing import Any

from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMultimodalLM,
    PreTrainedConfig,
)

from backtracking.models.formats import first_line
from lifeboat.stage.errors import UserError


def config_of(folder: Path, named: str) -> PreTrainedConfig:
    """What the config.json of a folder says.

    Raises:
        UserError: where it cannot be read.
    """
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers checks values here, each with its own error
        raise UserError(
            f"The configuration of {named} could not be read: {first_line(error)}",
            "Take another revision, or fetch it again.",
        ) from error


def quantization(config: PreTrainedConfig) -> str | None:
    """How the weights are quantised, None where they are not."""
    for one in (config, config.get_text_config()):
        if (found := getattr(one, "quantization_config", None)) is not None:
            named = found if isinstance(found, dict) else vars(found)
            return str(named.get("quant_method", "unknown method"))
    return None


def opener(config: PreTrainedConfig, named: Path | str) -> Any:
    """What opens a model of this kind: a language model, or one that a wrapper class holds.

    Raises:
        UserError: naming an architecture without a decoder-only language model.
    """
    if not getattr(config, "is_encoder_decoder", False):
        for opener in (AutoModelForCausalLM, AutoModelForMultimodalLM):
            if type(config) in opener._model_mapping:
                return opener
    kind = ", ".join(getattr(config, "architectures", None) or [type(config).__name__])
    raise UserError(
        f"{named} holds a {kind} ({config.model_type}), in which transformers has no decoder-only"
        " language model.",
        "Take a causal language model, or the text model of this one as a folder of its own.",
    )


def class_of(config: PreTrainedConfig, named: Path | str) -> Any:
    """Its class.

    Raises:
        UserError: as `opener`.
    """
    found = opener(config, named)._model_mapping[type(config)]
    return found[0] if isinstance(found, (list, tuple)) else found


def empty(
    kind: Any, config: PreTrainedConfig, named: Path | str, *, has_buffers: bool = False
) -> Any:
    """A model without numbers, or with those of its buffers alone, on the processor.

    Raises:
        UserError: where transformers cannot make one of this configuration.
    """
    try:
        with init_empty_weights(include_buffers=not has_buffers):
            return kind(config)
    except Exception as error:  # a class that its own configuration does not fill: any error
        raise UserError(
            f"{named} holds a {kind.__name__} ({config.model_type}), which transformers cannot "
            f"make of its configuration: {first_line(error)}",
            "Take another revision, or fetch it again.",
        ) from error
