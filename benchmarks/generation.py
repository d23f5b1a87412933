"""How fast text is written, steered and not, beside the ways in which people write it now.

All variants run interleaved in one process, on the same prompts and weights. Each text ends at a
length of its own, 32 to 512 tokens, one in ten at the limit. What is printed and filed is the
median, over the rounds, of the tokens a second of ours over those of each in the same round.
`--clock process` counts the process's own time, for a machine that others use too.

    .venv/bin/python benchmarks/generation.py               # hours on two cores
    .venv/bin/python benchmarks/generation.py --size quick  # some minutes
    .venv/bin/python benchmarks/generation.py --device cuda --size 1.5b --json
"""

import argparse
import functools
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timing
import torch
from timing import CLOCKS, Row
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    StoppingCriteria,
    StoppingCriteriaList,
)

from backtracking.models import loading
from backtracking.models.generation import Steering, generate
from backtracking.models.sampling import Sampling
from backtracking.runtime.compute import prepare_torch

NORM = 4.0
"""Of a steering vector."""


@dataclass(frozen=True)
class Size:
    """A model's shape, and what it writes.

    Attributes:
        config: of the model.
        dtype: of its weights.
        n_rows: texts that are written.
        at_once: of them, in one call of the model.
        n_prompt: tokens of the shortest and of the longest prompt.
        n_new: tokens of the shortest text and of the longest.
    """

    config: dict[str, Any]
    dtype: str
    n_rows: int
    at_once: int
    n_prompt: tuple[int, int]
    n_new: tuple[int, int]


SMOL = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
    "tie_word_embeddings": True,
}  # fmt: skip
QWEN = {
    "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
    "num_attention_heads": 12, "num_key_value_heads": 2, "vocab_size": 151936,
    "tie_word_embeddings": False,
}  # fmt: skip
SIZES = {
    "135m": Size(SMOL, "float32", 96, 16, (16, 128), (32, 512)),
    "135m-short": Size(SMOL, "float32", 48, 8, (8, 32), (6, 96)),
    "quick": Size(SMOL | {"num_hidden_layers": 6}, "float32", 48, 8, (8, 32), (4, 64)),
    "1.5b": Size(QWEN, "bfloat16", 256, 256, (16, 128), (512, 512)),
}  # fmt: skip


def save_model(size: Size, folder: Path, device: str) -> None:
    """A random model with a tokenizer of its vocabulary."""
    torch.manual_seed(0)
    kind = Qwen2Config if size.config is QWEN else LlamaConfig
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(
            kind(**size.config, max_position_embeddings=8192), dtype=getattr(torch, size.dtype)
        )
    model.save_pretrained(folder)
    words = {f"w{n}": n for n in range(size.config["vocab_size"])}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special: dict[str, Any] = dict.fromkeys(("unk_token", "pad_token"), "w0")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


class Limits(StoppingCriteria):
    """Ends each row of a padded batch at a length of its own."""

    def __init__(self, n_prompt: int, n_new: Tensor) -> None:
        self.ends = n_prompt + n_new

    def __call__(self, input_ids: Tensor, scores: Any, **named: Any) -> Tensor:  # type: ignore[override]
        return self.ends <= input_ids.shape[1]


class Variants:
    """Everything that is timed, each a function that returns how many tokens it wrote."""

    def __init__(self, size: Size, device: str, folder: Path) -> None:
        save_model(size, folder, device)
        self.size = size
        self.loaded = loading.load(folder, device=device, dtype=size.dtype)
        self.model: Any = self.loaded.model
        chosen, vocabulary = random.Random(0), size.config["vocab_size"]
        lengths = [chosen.randint(*size.n_prompt) for _ in range(size.n_rows)]
        self.prompts = [[chosen.randrange(1, vocabulary) for _ in range(n)] for n in lengths]
        self.n_new = [
            size.n_new[1] if row % 10 == 0 else chosen.randint(*size.n_new)
            for row in range(size.n_rows)
        ]
        self.layer = self.loaded.n_layers // 2
        self.vectors = torch.randn(size.n_rows, self.loaded.d_model)
        self.vectors *= NORM / self.vectors.norm(dim=1, keepdim=True)
        one, arms = self.vectors[:1].expand(size.n_rows, -1), self.vectors[:32]
        by_arm = arms.repeat(-(-size.n_rows // len(arms)), 1)[: size.n_rows]
        self._learn_ends()
        self.by_name: dict[str, Callable[[], int]] = {
            "ours": self.ours,
            "ours, one vector": lambda: self.ours(one),
            "ours, a vector per row": lambda: self.ours(self.vectors),
            "ours, 32 arms": lambda: self.ours(by_arm),
            "generate": self.generate,
            "generate, a hook with one vector": lambda: self.hooked(self.generate),
            "generate_batch": self.generate_batch,
            "nnsight, one vector": self.nnsight,
        }

    def _learn_ends(self) -> None:
        """Keys with different first tokens, by which rows of ours are told from one another."""
        self.keys = [f"row {row}" for row in range(self.size.n_rows)]
        self.n_new_by_first: dict[int, int] = {}
        first = Sampling(0, 1.0, 1)
        for row in range(self.size.n_rows):
            while True:
                (one,) = generate(self.loaded, [self.prompts[row]], [self.keys[row]], first)
                if one.token_ids[0] not in self.n_new_by_first:
                    break
                self.keys[row] += "'"
            self.n_new_by_first[one.token_ids[0]] = self.n_new[row]

    def ours(self, vectors: Tensor | None = None) -> int:
        """The engine of this project; vectors are added where something was written."""
        steering = None
        if vectors is not None:
            steering = Steering(self.layer, vectors.to(self.loaded.device), "generated")
        written = generate(
            self.loaded,
            self.prompts,
            self.keys,
            Sampling(0, 1.0, self.size.n_new[1]),
            is_done=lambda ids: len(ids) >= self.n_new_by_first[ids[0]],
            steering=steering,
            batch_size=self.size.at_once,
        )
        return sum(len(one.token_ids) for one in written)

    def generate(self) -> int:
        """`generate` of transformers on batches of like prompts, padded on the left."""
        return sum(self._padded(self.model.generate, batch) for batch in self._batches())

    def _batches(self) -> list[list[int]]:
        order = sorted(range(self.size.n_rows), key=lambda row: len(self.prompts[row]))
        size = self.size.at_once
        return [order[first : first + size] for first in range(0, len(order), size)]

    def _padded(self, write: Callable[..., Any], batch: list[int]) -> int:
        width = max(len(self.prompts[row]) for row in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(batch):
            prompt = self.prompts[row]
            ids[at, width - len(prompt) :] = torch.tensor(prompt)
            mask[at, width - len(prompt) :] = 1
        n_new = torch.tensor([self.n_new[row] for row in batch], device=self.loaded.device)
        written = write(
            ids.to(self.loaded.device),
            attention_mask=mask.to(self.loaded.device),
            generation_config=self._sampled(),
            stopping_criteria=StoppingCriteriaList([Limits(width, n_new)]),
        )
        assert written.shape[1] == width + int(n_new.max())
        return int(n_new.sum())

    def _sampled(self) -> GenerationConfig:
        return GenerationConfig(
            do_sample=True, top_k=None, top_p=None, max_new_tokens=self.size.n_new[1],
            pad_token_id=0,
        )  # fmt: skip

    def hooked(self, run: Callable[[], int]) -> int:
        """A forward hook that adds one vector everywhere, as repeng and others steer."""
        vector = self.vectors[0].to(self.loaded.device, self.model.dtype)

        def add(_module: Any, _inputs: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (output[0] + vector, *output[1:])
            return output + vector

        handle = self.loaded.blocks[self.layer].register_forward_hook(add)
        try:
            return run()
        finally:
            handle.remove()

    def generate_batch(self) -> int:
        """Continuous batching of transformers, with a limit for each request.

        As many rows share a call as in ours. The cache has the room that they need, and no more:
        its mask is of that size.
        """
        size, page = self.size, 16
        n_blocks = size.at_once * -(-(size.n_prompt[1] + size.n_new[1]) // page)
        config = ContinuousBatchingConfig(
            page_size=page,
            num_blocks=n_blocks,
            max_batch_tokens=size.at_once + size.n_prompt[1],
            max_requests_per_batch=size.at_once,
        )
        with self.model.continuous_batching_context_manager(
            generation_config=self._sampled(), continuous_batching_config=config, block=True
        ) as manager:
            for prompt, n_new in zip(self.prompts, self.n_new, strict=True):
                manager.add_request(prompt, max_new_tokens=n_new)
            n_tokens = n_done = 0
            while n_done < size.n_rows:
                if (found := manager.get_result(timeout=1)) and found.is_finished():
                    n_done, n_tokens = n_done + 1, n_tokens + len(found.generated_tokens)
                elif not found and not manager.is_running():
                    raise RuntimeError("generate_batch ended before its requests did")
        return n_tokens

    @functools.cached_property
    def seen(self) -> Any:
        """The same model in nnsight's wrapper."""
        from nnsight import TransformersModel

        tokenizer = self.loaded.tokenizer
        return TransformersModel(self.model, task="text-generation", tokenizer=tokenizer)

    def nnsight(self) -> int:
        """nnsight's way of steering: an addition in each step of its own `generate`."""
        return sum(self._padded(self._nnsight, batch) for batch in self._batches())

    def _nnsight(self, ids: Tensor, attention_mask: Tensor, **named: Any) -> Any:
        vector, layer = self.vectors[0].to(self.loaded.device, self.model.dtype), self.layer
        n_steps = int(named["stopping_criteria"][0].ends.max()) - ids.shape[1]
        inputs = {"input_ids": ids, "attention_mask": attention_mask}
        with self.seen.generate(inputs, **named) as tracer:
            for _ in tracer.iter[:n_steps]:
                block = self.seen.model.layers[layer]
                block.output = block.output + vector
            written = tracer.result.save()
        return written


def measure(
    variants: Variants, names: list[str], rounds: int, clock: str
) -> dict[str, list[float]]:
    """Tokens a second of each variant in each round, the order rotated."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = CLOCKS[clock]()
            n_tokens = variants.by_name[name]()
            if variants.loaded.device.type == "cuda":
                torch.cuda.synchronize()
            seconds = CLOCKS[clock]() - start
            if n_tokens != sum(variants.n_new):
                raise RuntimeError(f"{name} wrote {n_tokens} tokens, not {sum(variants.n_new)}")
            rates[name].append(n_tokens / seconds)
            print(f"{name}: {n_tokens / seconds:.1f} tokens/s", file=sys.stderr, flush=True)
        print(f"round {turn + 1} of {rounds}", file=sys.stderr, flush=True)
    return rates


def table(rates: dict[str, list[float]], options: argparse.Namespace) -> list[Row]:
    """Rows with the medians: tokens a second, and how much faster ours is."""
    ours, rows = rates["ours"], []
    for name, its in rates.items():
        ratios = [a / b for a, b in zip(ours, its, strict=True)]
        medians = {"tokens_per_second": statistics.median(its)}
        rows.append(timing.row(name, medians, "ours_over_it", ratios, options))
    return rows


def main() -> None:
    """Times what the command line asks for, prints it, and files it beside this script."""
    parser = timing.parser(__doc__, SIZES)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--at-once", type=int)
    parser.add_argument("--limit", type=int, help="tokens of the longest text")
    parser.add_argument("--only", nargs="*", help="variants, beside ours")
    parser.add_argument("--bandwidth", type=float, help="of the memory, in terabytes a second")
    options = parser.parse_args()
    size = SIZES[options.size]
    size = replace(
        size,
        n_rows=options.rows or size.n_rows,
        at_once=options.at_once or size.at_once,
        n_new=(size.n_new[0], options.limit or size.n_new[1]),
    )
    prepare_torch(options.threads)
    with tempfile.TemporaryDirectory() as name:
        variants = Variants(size, options.device, Path(name))
        only = {"ours", *(variants.by_name if options.only is None else options.only)}
        if unknown := only - variants.by_name.keys():
            parser.error(f"no variant is named {sorted(unknown)}; have {list(variants.by_name)}")
        names = [one for one in variants.by_name if one in only]
        rows = table(measure(variants, names, options.rounds, options.clock), options)
    device = timing.tell(rows, "generation", options)
    if options.json:
        said = medians(rows) | {"device": device}
        if options.bandwidth:
            rate = float(str(said["tokens_per_second"]))
            said["share_of_bound"] = rate * bytes_a_token(variants) / (options.bandwidth * 1e12)
        print(json.dumps(said))


def bytes_a_token(variants: Variants) -> float:
    """Memory that must be read for a token: its share of the weights, and its row's cache."""
    size, model = variants.size, variants.model
    config = model.config
    d_head = config.hidden_size // config.num_attention_heads
    values = 2 * config.num_hidden_layers * config.num_key_value_heads * d_head
    read = [
        len(prompt) + n_new / 2
        for prompt, n_new in zip(variants.prompts, variants.n_new, strict=True)
    ]
    embedded = 0 if config.tie_word_embeddings else model.get_input_embeddings().weight.numel()
    weights = sum(one.numel() for one in model.parameters()) - embedded
    return (weights / size.at_once + values * statistics.mean(read)) * model.dtype.itemsize


def medians(rows: list[Row]) -> dict[str, object]:
    """What a machine reads of the table; None for what was not run."""
    by_name = {str(row["variant"]): row for row in rows}

    def ratio(name: str) -> float | None:
        return float(str(by_name[name]["ours_over_it"])) if name in by_name else None

    steered = ratio("ours, a vector per row")
    return {
        "ours_over_generate": ratio("generate"),
        "ours_over_generate_batch": ratio("generate_batch"),
        "steered_over_unsteered": None if steered is None else 1 / steered,
        "tokens_per_second": by_name["ours"]["tokens_per_second"],
    }


if __name__ == "__main__":
    main()
