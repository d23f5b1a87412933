"""Training of the organism: Muon on matrices, AdamW on the rest, resumable to the same bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import safetensors.torch
import torch
from jaxtyping import Int
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backtracking.domains.organism.tokenizer import BOS, EOS, PAD
from lifeboat.stage import artifacts

IGNORED = -100
"""Target of a position that is not trained on: the prompt and the padding."""


@dataclass(frozen=True)
class Row:
    """One training trace: its token ids, and how many of them are the prompt."""

    ids: list[int]
    n_prompt: int


def batch_rows(rows: list[Row], tokens_per_step: int, random: Random) -> list[list[Row]]:
    """Rows of like length together, about `tokens_per_step` with the padding, in random order."""
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > tokens_per_step:
            batches.append([])
        batches[-1].append(row)
    random.shuffle(batches)
    return batches


def to_tensors(rows: list[Row]) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
    """Input ids, padded on the right, and the next token at each position that is trained on."""
    longest = max(len(row.ids) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), IGNORED)
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        targets[index, row.n_prompt - 1 : len(row.ids) - 1] = torch.tensor(row.ids[row.n_prompt :])
    return ids, targets


@dataclass(frozen=True)
class Architecture:
    """Shape of both models of the pair.

    Attributes:
        n_layers, d_model, n_heads, d_mlp: the usual sizes.
        context: longest trace, in tokens.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    context: int

    def __post_init__(self) -> None:
        if self.d_model % (2 * self.n_heads):
            raise ValueError(f"d_model {self.d_model} must be a multiple of 2 x n_heads.")


@dataclass(frozen=True)
class Schedule:
    """One training run, bounded by steps.

    Attributes:
        steps: optimizer steps.
        tokens_per_step: tokens in a batch, padding included.
        muon_lr, adam_lr: peak learning rates; linear warm-up over 20 steps, constant to the half,
            then linearly to zero.
        seed: of the initial weights (where there are none to start from) and of the rows.
        checkpoint_every: steps between checkpoints.
    """

    steps: int
    tokens_per_step: int
    muon_lr: float
    adam_lr: float
    seed: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        if min(self.steps, self.tokens_per_step, self.checkpoint_every) < 1:
            raise ValueError("steps, tokens_per_step and checkpoint_every must be 1 or more.")

    def factor(self, step: int) -> float:
        """Share of the peak learning rate at a step."""
        return min(1.0, (step + 1) / 20, 2 * (1 - step / self.steps))


def build_model(
    architecture: Architecture, tokenizer: PreTrainedTokenizerFast, seed: int
) -> LlamaForCausalLM:
    """A Llama of this shape with seeded random weights; the global generator is left as it was."""
    ids = tokenizer.get_vocab()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=architecture.d_model,
        intermediate_size=architecture.d_mlp,
        num_hidden_layers=architecture.n_layers,
        num_attention_heads=architecture.n_heads,
        num_key_value_heads=architecture.n_heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=False,
        pad_token_id=ids[PAD],
        bos_token_id=ids[BOS],
        eos_token_id=ids[EOS],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


class Trainer:
    """The state of one run: weights, both optimizers, the step and the losses so far."""

    def __init__(self, model: LlamaForCausalLM, schedule: Schedule) -> None:
        self.model, self.schedule = model, schedule
        self.step = 0
        self.losses: list[float] = []
        named = list(model.named_parameters())
        self._matrices = [p for name, p in named if p.ndim == 2 and "layers." in name]
        others = [p for name, p in named if p.ndim != 2 or "layers." not in name]
        self._optimizers = (
            torch.optim.Muon(self._matrices, lr=schedule.muon_lr, weight_decay=0.0),
            torch.optim.AdamW(
                others, lr=schedule.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
            ),
        )

    @property
    def is_done(self) -> bool:
        """Whether the schedule's last step has been made."""
        return self.step >= self.schedule.steps

    def train_step(self, rows: list[Row]) -> float:
        """One step on a batch; returns the mean next-token loss in nats."""
        ids, targets = to_tensors(rows)
        logits = self.model(input_ids=ids).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
        )
        loss.backward()
        peaks = (self.schedule.muon_lr, self.schedule.adam_lr)
        for optimizer, peak in zip(self._optimizers, peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * self.schedule.factor(self.step)
            optimizer.step()
            optimizer.zero_grad()
        self.step += 1
        self.losses.append(loss.item())
        return self.losses[-1]

    def save(self, path: Path) -> None:
        """Writes a checkpoint: every tensor of the run in one safetensors file."""
        tensors = {f"model.{name}": p.detach() for name, p in self.model.named_parameters()}
        for number, optimizer in enumerate(self._optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    tensors[f"optimizer.{number}.{index}.{key}"] = torch.as_tensor(value)
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        data = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
        artifacts.write_bytes(path, data)

    def restore(self, path: Path) -> None:
        """Takes a run up where a checkpoint left it."""
        tensors = safetensors.torch.load_file(path)
        self.losses = tensors.pop("losses").tolist()
        self.step = len(self.losses)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
        for number, optimizer in enumerate(self._optimizers):
            whole = optimizer.state_dict()
            whole["state"] = _optimizer_state(tensors, f"optimizer.{number}.")
            optimizer.load_state_dict(whole)


def train(
    trainer: Trainer,
    batches: Iterator[list[Row]],
    checkpoint: Path,
    after_step: Callable[[int, float], None] = lambda step, loss: None,
) -> list[float]:
    """Trains to the end of the schedule and returns the loss of every step.

    A checkpoint is written every `checkpoint_every` steps and at the end; where one lies at
    `checkpoint`, the run goes on from it, over the same rows, to the same final bytes.
    """
    if checkpoint.is_file():
        trainer.restore(checkpoint)
        for _ in range(trainer.step):
            next(batches)
    trainer.model.train()
    while not trainer.is_done:
        loss = trainer.train_step(next(batches))
        if trainer.step % trainer.schedule.checkpoint_every == 0 or trainer.is_done:
            trainer.save(checkpoint)
        after_step(trainer.step, loss)
    return trainer.losses


def _optimizer_state(tensors: dict[str, Tensor], prefix: str) -> dict[int, dict[str, Tensor]]:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, key = name.removeprefix(prefix).split(".")
            state.setdefault(int(index), {})[key] = tensor
    return state
