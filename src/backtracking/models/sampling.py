"""Draws of tokens that depend on seed, key and step alone, not on the batch they are made in."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.models.batches import rows_at_once
from lifeboat.stage.errors import UserError

PROBABILITY_UNITS = 2**40


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    Attributes:
        seed: seed of every draw; a row's draws depend on it, on the row's key and on the step.
        temperature: divisor of the logits; 0 is greedy.
        max_new_tokens: tokens after which a row is cut, counted from the end of its own prompt.
    """

    seed: int
    temperature: float
    max_new_tokens: int

    def __post_init__(self) -> None:
        if self.temperature != 0 and not 0.001 <= self.temperature <= 1000:
            raise ValueError(
                f"`temperature` must be 0 (greedy) or from 0.001 to 1000, found {self.temperature}."
            )
        if self.max_new_tokens < 1:
            raise ValueError(f"`max_new_tokens` must be 1 or more, found {self.max_new_tokens}.")


def draw_uniforms(sampling: Sampling, key: str) -> Float[np.ndarray, " max_new_tokens"]:
    """The numbers in [0, 1) of one row, one for each token that it may write."""
    digest = hashlib.sha256(f"{sampling.seed}/{key}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    return generator.random(sampling.max_new_tokens)


def draw(
    logits: Float[Tensor, "rows d_vocab"], uniforms: Sequence[float], temperature: float
) -> Int[Tensor, " rows"]:
    """A token per row, by inverse CDF at the row's uniform; the largest logit at temperature 0.

    Probabilities are counted in whole units, since sums of integers depend on no order: a sum of
    floats along an axis is not deterministic on a GPU.

    Raises:
        UserError: where the logits are not finite.
    """
    if not logits.amax(-1).isfinite().all():
        raise UserError(
            f"The model's logits are not finite (in {logits.dtype}).",
            "Lower the dose of the steering vector, or use bfloat16 or float32.",
        )
    if temperature == 0:
        return logits.argmax(-1)
    draws = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)[:, None]
    at_once = rows_at_once(logits)
    parts = zip(logits.split(at_once), draws.split(at_once), strict=True)
    return torch.cat([_drawn(*part, temperature) for part in parts])


def _drawn(
    logits: Float[Tensor, "rows d_vocab"], draws: Float[Tensor, "rows one"], temperature: float
) -> Int[Tensor, " rows"]:
    weights = (logits.double() / temperature).softmax(-1) * PROBABILITY_UNITS
    cdf = weights.round().long().cumsum(-1)
    return torch.searchsorted(cdf, (draws * cdf[:, -1:]).long(), right=True).squeeze(1)
