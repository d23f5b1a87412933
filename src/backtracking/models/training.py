"""Training of a small model: Muon on matrices, AdamW on the rest, resumable to the same bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from random import Random

import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from backtracking.models.muon import StackedMuon
from backtracking.models.rows import CHUNK, Row, RowSource
from lifeboat.stage import interruption
from lifeboat.stage.steps import Steps

IGNORED = -100
"""Target of a position that is not trained on: the prompt and the padding."""


def batch_rows(rows: list[Row], tokens_per_step: int, random: Random) -> list[list[Row]]:
    """Rows of like length together, about `tokens_per_step` with the padding, in random order."""
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batches[-1] and len(row.ids) * (len(batches[-1]) + 1) > tokens_per_step:
            batches.append([])
        batches[-1].append(row)
    random.shuffle(batches)
    return batches


def stream_batches(rows: Iterator[Row], tokens_per_step: int, seed: int) -> Iterator[list[Row]]:
    """Batches without end: chunk after chunk of the rows, each in an order of its own."""
    for chunk in count():
        random = Random(f"{seed}/{chunk}/order")
        yield from batch_rows(list(islice(rows, CHUNK)), tokens_per_step, random)


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
        pad_token_id=ids[str(tokenizer.pad_token)],
        bos_token_id=ids[str(tokenizer.bos_token)],
        eos_token_id=ids[str(tokenizer.eos_token)],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


@dataclass(frozen=True)
class Trained:
    """What training makes.

    Attributes:
        weights: every parameter by its name.
        losses: of every step, in nats a token.
    """

    weights: dict[str, Tensor]
    losses: list[float]


@dataclass(frozen=True)
class State:
    """A run between two steps.

    Attributes:
        weights: every parameter by its name.
        optimizers: the state of each optimizer, by number of the parameter.
        losses: of the steps so far.
    """

    weights: dict[str, Tensor]
    optimizers: tuple[dict[int, dict[str, Tensor]], ...]
    losses: list[float]


class Trainer:
    """One run: weights, both optimizers, and the losses so far."""

    def __init__(self, model: PreTrainedModel, schedule: Schedule) -> None:
        self.model, self.schedule = model, schedule
        self.losses: list[float] = []
        named = list(model.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and "layers." in name]
        others = [p for name, p in named if p.ndim != 2 or "layers." not in name]
        self._optimizers = (
            StackedMuon(matrices, lr=schedule.muon_lr),
            torch.optim.AdamW(
                others, lr=schedule.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
            ),
        )

    @property
    def step(self) -> int:
        """Steps made so far."""
        return len(self.losses)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The parameters as they are, by name."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}

    @property
    def state(self) -> State:
        """The whole run as it is."""
        kept = tuple(optimizer.state_dict()["state"] for optimizer in self._optimizers)
        return State(self.weights, kept, self.losses)

    def restore(self, state: State) -> None:
        """Takes a run up where a state left it."""
        self.losses = list(state.losses)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state.weights[name])
        for optimizer, kept in zip(self._optimizers, state.optimizers, strict=True):
            optimizer.load_state_dict(optimizer.state_dict() | {"state": kept})

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
        self.losses.append(loss.item())
        return self.losses[-1]


@dataclass(frozen=True)
class Task:
    """What a trained model depends on, beside the weights and the words that it starts from.

    Attributes:
        source: of the rows.
        schedule: of the steps.
        context: longest row, in tokens.
        n_threads: CPU threads, on which the last bits depend.
    """

    source: RowSource
    schedule: Schedule
    context: int
    n_threads: int


def fit(
    task: Task,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    steps: Steps,
    advance: Callable[[int], None] = lambda _n: None,
) -> Trained:
    """Trains `model` in place to the end of its schedule.

    The state is kept every `checkpoint_every` steps; where one is, the run goes on from it, over
    the same rows, to the same final bytes.

    Args:
        task: see `Task`.
        model: with the weights that it starts from.
        tokenizer: of the rows.
        steps: where states are kept.
        advance: called with numbers of steps that have been made.

    Raises:
        SystemExit: with code 75, after a state was kept, if the process was asked to stop.
    """
    schedule, trainer = task.schedule, Trainer(model, task.schedule)
    rows = task.source.rows(tokenizer, schedule.seed, task.context)
    batches = stream_batches(rows, schedule.tokens_per_step, schedule.seed)
    if found := steps.latest():
        trainer.restore(found[1])
        advance(trainer.step)
        for _ in range(trainer.step):
            next(batches)
    model.train()
    while trainer.step < schedule.steps:
        trainer.train_step(next(batches))
        advance(1)
        if trainer.step % schedule.checkpoint_every == 0:
            steps.keep(trainer.step, trainer.state)
            interruption.checkpoint()
    return Trained(trainer.weights, trainer.losses)
