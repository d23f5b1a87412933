"""What a GGUF file of llama.cpp holds, and what of it transformers would drop without a word."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerFast
from transformers.integrations.gguf.reader import GgufHeader, read_gguf_metadata
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from backtracking.models.formats import first_line
from lifeboat.stage.errors import UserError

CURE = "Take the model that the file was made of, as safetensors with its own tokenizer.json."
_TOKENS, _KINDS = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_CONTROL, _BY_USERS = 3, 4
"""Kinds of tokens that are found in a text before it is split."""


@dataclass(frozen=True)
class Description:
    """What a GGUF file says of its model.

    Attributes:
        architecture: as llama.cpp calls it.
        n_layers: blocks.
        d_model: width of the residual stream.
        n_parameters: numbers in its tensors.
        splits_by: how a text is split before its tokens are found; empty where it is not said.
        tokenizer: kind of tokenizer, `gpt2` for byte pairs.
        n_parts: files that the model was split into.
        scalings: keys that stretch the positions beyond what the model was made for.
        tensors: their names.
    """

    architecture: str
    n_layers: int
    d_model: int
    n_parameters: int
    splits_by: str
    tokenizer: str
    n_parts: int
    scalings: tuple[str, ...]
    tensors: tuple[str, ...]


def describe(path: Path) -> Description:
    """What the head of a GGUF file says; no weight is read.

    Raises:
        UserError: where it is no GGUF file, or one that is cut.
    """
    try:
        told, names = read_gguf_metadata(str(path))
        tensors = GgufHeader.from_file(str(path)).tensors
        kind = str(told["general.architecture"])
        return Description(
            kind,
            int(told[f"{kind}.block_count"]),
            int(told[f"{kind}.embedding_length"]),
            sum(math.prod(one.shape) for one in tensors),
            str(told.get("tokenizer.ggml.pre", "")),
            str(told.get("tokenizer.ggml.model", "")),
            int(told.get("split.count", 1)),
            _scalings(told, f"{kind}.rope.scaling."),
            names,
        )
    except Exception as error:  # of a file that is cut or foreign, anything may be raised
        raise UserError(
            f"{path} is no whole GGUF file of a language model: {first_line(error)}",
            "Fetch it again, or name another.",
        ) from error


def _scalings(told: dict[str, Any], prefix: str) -> tuple[str, ...]:
    if told.get(f"{prefix}type") == "none":
        return ()
    return tuple(key for key in told if key.startswith(prefix))


def require_whole(path: Path, told: Description) -> None:
    """Refuses one part of several, and positions that transformers would leave as they are.

    Raises:
        UserError: naming the keys.
    """
    if told.n_parts > 1:
        raise UserError(
            f"{path} is one of {told.n_parts} parts of a model (`split.count`).",
            "Join them with `llama-gguf-split --merge`, and name the file that it writes.",
        )
    if told.scalings:
        raise UserError(
            f"{path} scales its positions ({', '.join(told.scalings)}), which transformers drops.",
            CURE,
        )


def require_used(path: Path, told: Description, config: PreTrainedConfig) -> None:
    """Refuses tensors that have no parameter: transformers leaves them out, biases among them.

    Raises:
        UserError: naming them.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    processor = TENSOR_PROCESSORS.get(told.architecture, TensorProcessor)(config=config.to_dict())
    known = get_gguf_hf_weights_map(model, processor)
    # Stacked experts are known without their ending.
    left = [one for one in told.tensors if not {one, one.removesuffix(".weight")} & known.keys()]
    if left:
        raise UserError(
            f"{path} has {len(left)} tensors that no parameter of {type(model).__name__} takes up: "
            f"{', '.join(left[:5])}.",
            CURE,
        )


def require_filled(path: Path, missing: set[str]) -> None:
    """Refuses weights that a file lacks, which would be random.

    Args:
        path: the file.
        missing: as transformers tells them; a head that is tied to the embeddings is none.

    Raises:
        UserError: naming the first.
    """
    if missing:
        raise UserError(
            f"{path} lacks {len(missing)} tensors of its model, the first is {min(missing)}: they "
            "would be random.",
            CURE,
        )


def require_marks(path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Checks that each control token of a file is one token, with the id that it has there.

    Raises:
        UserError: naming the first that is not.
    """
    told, _names = read_gguf_metadata(str(path), (_TOKENS,))
    kinds = told.get(_KINDS, [])
    for expected, (text, kind) in enumerate(zip(told.get(_TOKENS, []), kinds, strict=False)):
        if kind not in (_CONTROL, _BY_USERS):
            continue
        found = tokenizer.encode(text, add_special_tokens=False)
        if found != [expected]:
            raise UserError(
                f"{path} has {text!r} as its token {expected}, and the tokenizer that transformers "
                f"makes of it reads {len(found)} tokens there: {found[:12]}.",
                CURE,
            )
