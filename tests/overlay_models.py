"""Tiny random models of the overlays' architectures, with the real tokenizers, and their traces."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import real_tokenizers
import torch
from tokenizers import AddedToken, Tokenizer
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from backtracking.domains.countdown.world import read_question
from backtracking.models.tokens import token_ids
from backtracking.records.traces import Problem, Trace

WIDTH, N_LAYERS, CONTEXT = 32, 2, 1024
BOS, EOS = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"
_VISION = ("object_ref", "box", "quad", "vision")
_MIDDLE = ("prefix", "middle", "suffix", "pad")
QWEN3 = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *(f"<|{name}_{end}|>" for name in _VISION for end in ("start", "end")),
    *(f"<|{name}_pad|>" for name in ("vision", "image", "video")),
    *("<tool_call>", "</tool_call>"),
    *(f"<|fim_{name}|>" for name in _MIDDLE),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>"),
    *("<think>", "</think>"),
]
R1_LLAMA = (
    [BOS, EOS, *(f"<|reserved_special_token_{n}|>" for n in range(9)), "<｜User｜>"]
    + ["<｜Assistant｜>", "<think>", "</think>"]
)  # fmt: skip
R1_QWEN = [EOS, "<｜User｜>", "<｜Assistant｜>", BOS, "<|EOT|>", "<think>", "</think>"]


@functools.cache
def r1_llama() -> Tokenizer:
    """Of R1-Distill-Llama: Llama 3's with DeepSeek's turns from id 128000 on."""
    return _with(real_tokenizers.llama3_bare(), R1_LLAMA)


@functools.cache
def r1_qwen() -> Tokenizer:
    """Of R1-Distill-Qwen: Qwen 2's with DeepSeek's turns from id 151643 on."""
    return _with(real_tokenizers.qwen2_bare(), R1_QWEN)


@functools.cache
def qwen3() -> Tokenizer:
    """Of Qwen 3."""
    return _with(real_tokenizers.qwen2_bare(), QWEN3)


def _with(tokenizer: Tokenizer, added: Sequence[str]) -> Tokenizer:
    """A tokenizer with tokens after its own; those for thinking and tools are plain text."""
    special = [one for one in added if "|" in one or "｜" in one]
    for one in added:
        token = AddedToken(one, normalized=False, special=one in special)
        (tokenizer.add_special_tokens if one in special else tokenizer.add_tokens)([token])
    return tokenizer


@dataclass(frozen=True)
class Shape:
    """How an overlay's models are built.

    Attributes:
        tokenizer: of all of them.
        end: the token that ends a trace.
        vocabulary: rows of the embedding, as published.
        configs: architecture of each role's model.
        tied: roles whose embedding is the unembedding too.
    """

    tokenizer: Callable[[], Tokenizer]
    end: str
    vocabulary: int
    configs: dict[str, type]
    tied: tuple[str, ...] = ()


SHAPES = {
    "r1-distill-qwen-1.5b": Shape(
        r1_qwen,
        EOS,
        151936,
        dict.fromkeys(("base", "reasoning", "instruct", "alien-base"), Qwen2Config),
        ("base", "instruct", "alien-base"),
    ),
    "r1-distill-llama-8b": Shape(
        r1_llama,
        EOS,
        128256,
        dict.fromkeys(("base", "reasoning", "instruct", "alien-base"), LlamaConfig),
    ),
    "r1-distill-qwen-14b": Shape(
        r1_qwen,
        EOS,
        152064,
        dict.fromkeys(("base", "reasoning", "instruct"), Qwen2Config) | {"alien-base": Qwen3Config},
    ),
    "qwen3-8b": Shape(
        qwen3,
        "<|im_end|>",
        151936,
        dict.fromkeys(("base", "reasoning"), Qwen3Config) | {"alien-base": Qwen2Config},
    ),
}
"""By overlay, as the models' config.json have them."""


def save_models(folder: Path, shape: Shape) -> None:
    """A random model of two layers for each role, with the tokenizer beside it."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=shape.tokenizer(), eos_token=shape.end)
    for seed, (role, config) in enumerate(shape.configs.items()):
        own: dict[str, Any] = {"head_dim": 16} if config is Qwen3Config else {}
        told = config(
            vocab_size=shape.vocabulary,
            hidden_size=WIDTH,
            intermediate_size=64,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            initializer_range=0.4,
            tie_word_embeddings=role in shape.tied,
            bos_token_id=None,
            eos_token_id=wrapped.eos_token_id,  # type: ignore[arg-type]
            pad_token_id=None,
            **own,
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            AutoModelForCausalLM.from_config(told).save_pretrained(folder / role)
        wrapped.save_pretrained(folder / role)


def write_traces(
    problems: Sequence[Problem],
    template: str,
    end: str,
    prompt: Callable[[Problem], list[int]],
    tokenizer: Tokenizer,
    n_samples: int,
) -> list[Trace]:
    """Searches as such models write them, with the thinking in every known shape in turn."""
    found = []
    begun = template.rstrip().endswith("<think>")
    for number, problem in enumerate(problems):
        for sample in range(n_samples):
            shape = (number + sample) % 4
            is_cut = shape == 2
            text = _framed(_search(problem, Random(f"{number}/{sample}")), problem, shape, begun)
            ids = token_ids(text, tokenizer)
            ids = ids if is_cut else [*ids, token_ids(end, tokenizer)[0]]
            found.append(
                Trace(
                    f"{problem.problem_id}/{sample}", problem.problem_id, problem.split, sample,
                    prompt(problem), ids, text, "length" if is_cut else "stop", {},
                )
            )  # fmt: skip
    return found


def _framed(search: str, problem: Problem, shape: int, begun: bool) -> str:
    """A search in its thinking: ended; opened twice or not at all; never closed; or empty."""
    opening = "" if begun else "<think>\n"
    answer = f"The answer is $\\boxed{{{problem.answer}}}$."
    if shape == 1:  # opened by the model although the template had, or by neither
        opening = "<think>\n" if begun else ""
    if shape == 2:
        return f"{opening}{search}"
    if shape == 3:
        return f"{opening}\n</think>\n\n{search} {answer}"
    return f"{opening}{search}\n</think>\n\n{answer}"


def _search(problem: Problem, random: Random) -> str:
    """Sums with remarks, some of which turn."""
    numbers, target = read_question(problem.prompt)
    said = [f"Okay, I need to make {target} from {', '.join(map(str, numbers))}."]
    for _ in range(3):
        left = list(numbers)
        random.shuffle(left)
        total = left.pop()
        first = True
        while left and (first or random.random() < 0.6):
            other, sign = left.pop(), "+"
            value = total + other
            opening = random.choice(("Let me try ", "So ", "Then ")) if first else "And "
            said.append(f"{opening}{total} {sign} {other} = {value}.")
            total, first = value, False
        turned = f"Wait, {total} is not {target}, so let me try something else."
        idle = "That is one way to go about it."
        said.append(random.choice((turned, turned, idle, f"Hmm, {total} is not it.")))
    return " ".join(said)
