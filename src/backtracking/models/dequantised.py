"""A GGUF file of llama.cpp as a model folder: safetensors, tokenizer, chat template.

transformers undoes the quantisation; what it wrote is then read back and compared. The way of
splitting a text is taken from the file by its name (`tokenizer.ggml.pre`), since transformers
gives those that it does not know GPT-2's without a word.
"""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Regex, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from backtracking.models import gguf_files, holdable, structure
from backtracking.models.formats import first_line
from backtracking.models.gguf_files import CURE, Description
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_BYTE_PAIRS = "gpt2"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LLAMA_3 = rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_QWEN_2 = rf"{_SHORT}|{_WORDS}|\p{{N}}|{_REST}"
_SPLITS = {
    "gpt-2": None,
    "smollm": None,
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "llama-v3": _LLAMA_3,
    "qwen2": _QWEN_2,
    "deepseek-r1-qwen": _QWEN_2,
}
"""Patterns by which a text is split before pairs are merged; None is GPT-2's own."""
_DIGITS_ALONE = ("smollm",)
_WHOLE_WORDS = ("llama-bpe", "llama3", "llama-v3")
"""Those in which a part that is a token is never merged from smaller ones."""
TEXTS = (
    structure.PROBE,
    "Adding 17 gives 13 + 17 = 30.  1234 a  39\n\n  7 It's 2.5%, and I'LL see.",
    "Łódź, 漢字かな, naïve 🙂 «ça»\t\n end ",
)
"""Read and written by every tokenizer that is converted."""
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def write(path: Path, folder: Path, dtype: str) -> None:
    """Writes a GGUF file's model into a folder, checked against what transformers read.

    Args:
        path: the file.
        folder: an empty one.
        dtype: of the weights as written; what is compared is in it.

    Raises:
        UserError: for an architecture that the engines cannot hold, for a file of which
            transformers would drop or invent a part, for a tokenizer that cannot be made as it
            was, where the disk is too small, and where what was written is not what was
            read.
    """
    told = gguf_files.describe(path)
    gguf_files.require_whole(path, told)
    config = _config(path, told)
    holdable.require_held(config, str(path))
    gguf_files.require_used(path, told, config)
    _require_split(path, told)
    artifacts.require_free_space(folder, told.n_parameters * _BYTES[dtype], f"{path.name} unpacked")
    tokenizer = _tokenizer(path, told)
    gguf_files.require_marks(path, tokenizer)
    tokenizer.save_pretrained(folder)
    _require_same_words(tokenizer, folder, told)
    ids = tokenizer(TEXTS[1], add_special_tokens=False, return_tensors="pt")["input_ids"]
    expected = _write_weights(path, folder, config, dtype, ids)
    gc.collect()
    _require_same_logits(folder, dtype, ids, expected)


def _config(path: Path, told: Description) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    except Exception as error:  # as `describe`; an unknown architecture, and a package that lacks
        raise UserError(
            f"{path} holds a model of the kind {told.architecture!r}, which transformers does not "
            f"unpack: {first_line(error)}",
            "Install `gguf`, or take the model that the file was made of, in transformers format.",
        ) from error


def _require_split(path: Path, told: Description) -> None:
    """Refuses byte pairs whose way of splitting a text is not known: ids would be others."""
    if told.tokenizer == _BYTE_PAIRS and told.splits_by not in _SPLITS:
        raise UserError(
            f"{path} splits texts by {told.splits_by or 'a way that it does not name'!r}, and the "
            f"ways that are known are {', '.join(_SPLITS)}.",
            CURE,
        )


def _tokenizer(path: Path, told: Description) -> PreTrainedTokenizerFast:
    with _quiet():
        found: Any = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
        )
    if told.tokenizer != _BYTE_PAIRS:
        return found
    pattern = _SPLITS[told.splits_by]
    parts: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)]
    if pattern:
        parts.insert(0, pre_tokenizers.Split(Regex(pattern), behavior="isolated"))
    if told.splits_by in _DIGITS_ALONE:
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    found.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    if told.splits_by in _WHOLE_WORDS:
        found.backend_tokenizer.model.ignore_merges = True
    return found


def _require_same_words(
    tokenizer: PreTrainedTokenizerFast, folder: Path, told: Description
) -> None:
    """Checks that the tokenizer as written splits texts as the one that was read, and back."""
    written = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    for text in (*TEXTS, *tokenizer.all_special_tokens):
        ids = tokenizer.encode(text, add_special_tokens=False)
        is_same = written.encode(text, add_special_tokens=False) == ids
        back = written.decode(ids, clean_up_tokenization_spaces=False)
        if not is_same or (told.tokenizer == _BYTE_PAIRS and back != text):
            raise UserError(
                f"The tokenizer of the GGUF file does not come back: {text!r} became {back!r}.",
                CURE,
            )


def _write_weights(
    path: Path, folder: Path, config: PreTrainedConfig, dtype: str, ids: Tensor
) -> Float[Tensor, "pos d_vocab"]:
    """Writes config and weights; returns the logits of the model that was read."""
    with _quiet():
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    model, info = loaded
    gguf_files.require_filled(path, info["missing_keys"])
    # transformers does not write what was quantised; a model of its own is given these tensors.
    with torch.device("meta"):
        plain: PreTrainedModel = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.tie_weights()
    plain.config.dtype = getattr(torch, dtype)
    plain.save_pretrained(folder)
    return _logits(model, ids)


def _require_same_logits(
    folder: Path, dtype: str, ids: Tensor, expected: Float[Tensor, "pos d_vocab"]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), local_files_only=True
    )
    found = _logits(model, ids)
    if not torch.equal(found, expected) or not bool(found.isfinite().all()):
        furthest = float((found - expected).abs().max())
        raise UserError(
            f"The model written to {folder} is not the one that was read: logits differ by up to "
            f"{furthest:g}.",
            f"Ask for another `dtype` than {dtype}; where that changes nothing, the file has "
            "tensors that transformers reads in another order than it writes them.",
        )


@torch.inference_mode()
def _logits(model: Any, ids: Tensor) -> Float[Tensor, "pos d_vocab"]:
    return model.eval()(input_ids=ids, use_cache=False).logits[0].float()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers' bars of single tensors belong into no log of a stage."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield
