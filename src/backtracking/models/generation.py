"""Batched, seeded, steered generation without padding.

A batch is read up to its shortest prompt in one call; from there on every row takes one token a
call, its own prompt's next token as long as there is one, and a sampled token after that. So all
rows stand at the same position, no mask is needed, and what a row writes does not depend on the
others in its batch, up to the rounding of its logits (`compare_greedy` counts that).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import hooks
from backtracking.models.kv_cache import empty_cache
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling, draw, draw_uniforms
from lifeboat.stage.errors import UserError

FinishReason = Literal["stop", "length", "empty"]
Where = Literal["decision", "generated", "all"]

NEAR_TIE = 1e-4
DROPPED_SHARE = 1 / 8


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt.

    Attributes:
        token_ids: the new token ids, the end token included where there is one.
        finish_reason: `stop` (end token), `length` (truncated) or `empty` (end token at once).
    """

    token_ids: list[int]
    finish_reason: FinishReason


@dataclass(frozen=True)
class Steering:
    """One steering vector per row, added to `resid_post[layer]` at chosen positions.

    Arms, doses and problems share batches: a row of the baseline has a zero vector, and its bits
    are those of a run without steering.

    Attributes:
        layer: layer to change.
        vectors: the added vectors, coefficient included, in the order of the prompts.
        where: `all` positions, prompt included; positions of `generated` tokens; or positions, in
            prompt or generated text, of tokens that end at a `decision`.
        is_decision: for `decision`, whether the last of a row's token ids so far, prompt first, is
            one. It is asked once per row and position, must not change the list, and must not keep
            it.
    """

    layer: int
    vectors: Float[Tensor, "rows d_model"]
    where: Where
    is_decision: Callable[[list[int]], bool] | None = None

    def __post_init__(self) -> None:
        if (self.where == "decision") != (self.is_decision is not None):
            raise ValueError("`is_decision` belongs to `where='decision'`, and to it only.")


@torch.inference_mode()
def generate(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    *,
    steering: Steering | None = None,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> list[Generation]:
    """What the model writes after each prompt, in the order of the prompts.

    Tokens are drawn by inverse CDF from uniforms that depend on seed, key and step alone: rows
    with the same key share random numbers, whatever their arm, dose or batch.

    Args:
        loaded: the model.
        prompts: token ids, at least one each.
        keys: names that a row's random numbers come from, one per prompt.
        sampling: seed, temperature and length limit.
        steering: vectors to add, one per prompt.
        batch_size: rows that share a call of the model.
        progress: told the number of newly finished rows.

    Raises:
        ValueError: for an empty prompt, or numbers of keys or vectors that differ from the number
            of prompts.
        UserError: where prompts and new tokens need more positions than the model has, and where
            the logits are not finite.
    """
    _require_rows(loaded, prompts, keys, sampling, steering)
    generations: dict[int, Generation] = {}
    for batch in batches_of(prompts, batch_size):
        rows = [
            _Row(row, len(prompts[row]), list(prompts[row]), draw_uniforms(sampling, keys[row]))
            for row in batch
        ]
        for index, generation in _run_batch(loaded, rows, sampling, steering):
            generations[index] = generation
            if progress is not None:
                progress(1)
    return [generations[row] for row in range(len(prompts))]


def batches_of(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Numbers of the prompts that share calls of the model: those of like length."""
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


@torch.inference_mode()
def compare_greedy(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> dict[str, int]:
    """Counts of prompts whose greedy tokens are the same alone and in one batch of all.

    `n` = `identical` + `near_ties` + `different`, where a near tie is a first difference at which
    the two largest logits, computed without cache or batch, are less than `NEAR_TIE` apart.
    """
    sampling, keys = Sampling(0, 0.0, max_new_tokens), [""] * len(prompts)
    together = generate(loaded, prompts, keys, sampling, batch_size=max(1, len(prompts)))
    alone = generate(loaded, prompts, keys, sampling, batch_size=1)
    counts = {"n": len(prompts), "identical": 0, "near_ties": 0, "different": 0}
    for prompt, one, other in zip(prompts, alone, together, strict=True):
        pairs = zip(one.token_ids, other.token_ids, strict=False)
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if first is None:
            counts["identical"] += 1
            continue
        ids = torch.tensor([[*prompt, *one.token_ids[:first]]], device=loaded.device)
        largest = loaded.model(ids).logits[0, -1].float().topk(2).values
        counts["near_ties" if largest[0] - largest[1] < NEAR_TIE else "different"] += 1
    return counts


@dataclass
class _Row:
    """One prompt on its way: `ids` grows, `uniforms` holds a number per new token."""

    index: int
    n_prompt: int
    ids: list[int]
    uniforms: np.ndarray
    generation: Generation | None = None

    def uniform(self, at: int) -> float:
        """The number for the token at a position, or any where that is not to be sampled."""
        return self.uniforms[min(max(at - self.n_prompt, 0), len(self.uniforms) - 1)]

    def take(self, token: int, stop_ids: frozenset[int], max_new_tokens: int) -> None:
        """Appends a sampled token; the last one makes the generation."""
        self.ids.append(token)
        n_new = len(self.ids) - self.n_prompt
        if token in stop_ids:
            reason: FinishReason = "empty" if n_new == 1 else "stop"
        elif n_new == max_new_tokens:
            reason = "length"
        else:
            return
        self.generation = Generation(self.ids[self.n_prompt :], reason)


def _run_batch(
    loaded: LoadedModel, rows: list[_Row], sampling: Sampling, steering: Steering | None
) -> Iterator[tuple[int, Generation]]:
    """Index and generation of each row, as it finishes."""
    cache, stop_ids = empty_cache(loaded.model.config), _stop_ids(loaded)
    start, end = 0, rows[0].n_prompt
    while rows:
        logits = _next_logits(loaded, rows, start, end, cache, steering)
        tokens = draw(logits, [row.uniform(end) for row in rows], sampling.temperature)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row.generation is None and end >= row.n_prompt:
                row.take(token, stop_ids, sampling.max_new_tokens)
                if row.generation is not None:
                    yield row.index, row.generation
        rows = _drop_finished(loaded, rows, cache)
        start, end = end, end + 1


def _next_logits(
    loaded: LoadedModel,
    rows: list[_Row],
    start: int,
    end: int,
    cache: DynamicCache,
    steering: Steering | None,
) -> Float[Tensor, "rows d_vocab"]:
    """Logits after positions `start` to `end - 1`, which are read into the cache."""
    # A finished row that is still in the batch reads its last token again; nobody looks.
    ids = [[row.ids[min(at, len(row.ids) - 1)] for at in range(start, end)] for row in rows]
    steered = nullcontext()
    if steering is not None:
        steered = hooks.add_vector(
            loaded.blocks,
            steering.layer,
            steering.vectors[[row.index for row in rows]],
            _steered_positions(steering, rows, start, end),
        )
    with steered:
        return loaded.model(
            torch.tensor(ids, device=loaded.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]


def _steered_positions(
    steering: Steering, rows: list[_Row], start: int, end: int
) -> Bool[Tensor, "rows pos"]:
    def is_steered(row: _Row, at: int) -> bool:
        if steering.is_decision is None:
            return steering.where == "all" or at >= row.n_prompt
        if row.generation is not None:
            return False
        so_far = row.ids if at + 1 == len(row.ids) else row.ids[: at + 1]
        return steering.is_decision(so_far)

    return torch.tensor([[is_steered(row, at) for at in range(start, end)] for row in rows])


def _drop_finished(loaded: LoadedModel, rows: list[_Row], cache: DynamicCache) -> list[_Row]:
    """The rows to go on with; copying the cache pays once a share of them has finished."""
    alive = [position for position, row in enumerate(rows) if row.generation is None]
    if alive and len(rows) - len(alive) < max(1, DROPPED_SHARE * len(rows)):
        return rows
    if alive:
        cache.batch_select_indices(torch.tensor(alive, device=loaded.device))
    return [rows[position] for position in alive]


def _stop_ids(loaded: LoadedModel) -> frozenset[int]:
    configured: Any = getattr(loaded.model.generation_config, "eos_token_id", None)
    named = [*(configured if isinstance(configured, list) else [configured])]
    named.append(loaded.tokenizer.eos_token_id)
    return frozenset(token for token in named if isinstance(token, int))


def _require_rows(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    sampling: Sampling,
    steering: Steering | None,
) -> None:
    n_vectors = len(prompts) if steering is None else len(steering.vectors)
    if not len(prompts) == len(keys) == n_vectors:
        raise ValueError(
            f"{len(prompts)} prompts, {len(keys)} keys and {n_vectors} vectors: the numbers differ"
        )
    if not all(prompts):
        raise ValueError("a prompt has no tokens: begin it with the tokenizer's start token")
    longest = max(map(len, prompts), default=1) + sampling.max_new_tokens - 1
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and longest > context:
        raise UserError(
            f"The longest prompt and {sampling.max_new_tokens} new tokens need {longest} "
            f"positions, and the model has {context}.",
            "Lower `max_new_tokens`, or leave out the longest prompts.",
        )
