"""Fine-tuning of a pretrained model: AdamW on every weight, resumable to the same bytes on a CPU.

Weights, their moments and the loss are float32; the passes may be in bfloat16.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from backtracking.models.rows import Row, RowSource
from backtracking.models.training import IGNORED, State, Trained, stream_batches, to_tensors
from lifeboat.stage import interruption
from lifeboat.stage.steps import Steps


@dataclass(frozen=True)
class FineTuning:
    """One run, bounded by steps.

    Attributes:
        optimizer: its name; another one is another class here.
        steps: optimizer steps.
        tokens_per_step: of a batch of traces of like length, with their padding.
        lr: peak learning rate; linear warm-up over `warmup` steps, then linearly to zero.
        warmup: steps of it.
        max_norm: longest gradient, beyond which it is scaled down.
        context: longest trace, in tokens; longer ones are cut.
        autocast: in what the passes compute.
        seed: of the rows.
        checkpoint_every: steps between checkpoints, each three times as large as the weights.
    """

    optimizer: Literal["adamw"]
    steps: int
    tokens_per_step: int
    lr: float
    warmup: int
    max_norm: float
    context: int
    autocast: Literal["float32", "bfloat16"]
    seed: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        if min(self.steps, self.tokens_per_step, self.warmup, self.checkpoint_every) < 1:
            raise ValueError(
                "steps, tokens_per_step, warmup and checkpoint_every must be 1 or more."
            )

    def rate(self, step: int) -> float:
        """Learning rate at a step, counted from 0."""
        left = (self.steps - step) / max(1, self.steps - self.warmup)
        return self.lr * min((step + 1) / self.warmup, 1.0, left)


@dataclass(frozen=True)
class Tuning:
    """What a fine-tuned model depends on, beside the model and the words that it starts from.

    Attributes:
        source: of the rows.
        schedule: of the steps.
        device: `cpu` or `cuda`; on a GPU the last bits may change from run to run.
        n_threads: CPU threads, on which the last bits depend.
    """

    source: RowSource
    schedule: FineTuning
    device: str
    n_threads: int


class Tuner:
    """One run: the model, its optimizer, and the losses so far."""

    def __init__(self, model: PreTrainedModel, schedule: FineTuning) -> None:
        self.model, self.schedule = model, schedule
        self.losses: list[float] = []
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=schedule.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        )

    @property
    def step(self) -> int:
        """Steps made so far."""
        return len(self.losses)

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The parameters as they are, by name, on the CPU."""
        return {name: one.detach().cpu() for name, one in self.model.named_parameters()}

    @property
    def state(self) -> State:
        """The whole run as it is."""
        kept = self._optimizer.state_dict()["state"]
        moments = {
            number: {name: value.cpu() for name, value in one.items()}
            for number, one in kept.items()
        }
        return State(self.weights, (moments,), self.losses)

    def restore(self, state: State) -> None:
        """Takes a run up where a state left it."""
        self.losses = list(state.losses)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state.weights[name])
        (kept,) = state.optimizers
        self._optimizer.load_state_dict(self._optimizer.state_dict() | {"state": kept})

    def train_step(self, rows: list[Row]) -> float:
        """One step on a batch; returns the mean next-token loss in nats."""
        loss = self._loss(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.max_norm)
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.losses.append(loss.item())
        return self.losses[-1]

    def _loss(self, rows: list[Row]) -> torch.Tensor:
        """Of the tokens that are trained on; others are not turned into float32 at all."""
        device = self.model.device
        ids, targets = (one.to(device) for one in to_tensors(rows))
        is_coarse = self.schedule.autocast == "bfloat16"
        with torch.autocast(device.type, torch.bfloat16, enabled=is_coarse):
            logits = self.model(input_ids=ids, use_cache=False).logits
        asked = targets != IGNORED
        return torch.nn.functional.cross_entropy(logits[asked].float(), targets[asked])


def fine_tune(
    task: Tuning,
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    steps: Steps,
    advance: Callable[[int], None] = lambda _n: None,
) -> Trained:
    """Fine-tunes `model` in place to the end of its schedule.

    The state is kept every `checkpoint_every` steps, and where the process is asked to stop; where
    one is, the run goes on from it, over the same rows.

    Args:
        task: see `Tuning`.
        model: with the weights that it starts from, in float32.
        tokenizer: of the rows.
        steps: where states are kept.
        advance: called with numbers of steps that have been made.

    Raises:
        SystemExit: with code 75, after a state was kept, if the process was asked to stop.
    """
    schedule = task.schedule
    trainer = Tuner(model.to(task.device), schedule)  # type: ignore[arg-type]
    rows = task.source.rows(tokenizer, schedule.seed, schedule.context)
    batches = stream_batches(rows, schedule.tokens_per_step, schedule.seed)
    if found := steps.latest():
        trainer.restore(found[1])
        advance(trainer.step)
        for _ in range(trainer.step):
            next(batches)
    model.train()
    interruption.checkpoint()
    while trainer.step < schedule.steps:
        trainer.train_step(next(batches))
        advance(1)
        # A step takes seconds here, so a run that is asked to stop does not wait for the next.
        if trainer.step % schedule.checkpoint_every == 0 or interruption.requested():
            steps.keep(trainer.step, trainer.state)
            interruption.checkpoint()
    return Trained(trainer.weights, trainer.losses)
