"""Batched, seeded, steered generation: the one way in which a model writes on.

Prompts of about the same length are read up to the end of the shortest in one call; from there on
every row takes one token a call, its own prompt's next token as long as there is one, and a sampled
token after that. So all rows stand at the same position, and no mask is needed. Prompts of very
different lengths are padded on the left instead, with a mask and with positions that count from
each prompt's own first token. What a row writes does not depend on the others in its batch, up to
the rounding of its logits (`batching.compare_greedy` counts that).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import hooks
from backtracking.models.kv_cache import empty_cache, require_none_remembered
from backtracking.models.loading import LoadedModel, require_ids
from backtracking.models.sampling import Sampling, draw, draw_uniforms
from lifeboat.stage.errors import UserError

FinishReason = Literal["stop", "length", "empty"]
Where = Literal["decision", "generated", "all"]

DROPPED_SHARE = 1 / 8
PADDED = 8
"""Tokens by which the prompts of a batch may differ without padding: that costs as many calls, and
padding costs a mask in every call."""


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt.

    Attributes:
        token_ids: the new token ids, the end token included where there is one.
        finish_reason: `stop` (end token), `length` (truncated) or `empty` (end token at once).
        n_steered: tokens at which a vector was added, as the hook counts them.
    """

    token_ids: list[int]
    finish_reason: FinishReason
    n_steered: int = 0


@dataclass(frozen=True)
class Steering:
    """One steering vector per prompt, added to `resid_post[layer]` at chosen positions.

    Arms, doses and problems share batches: a row of the baseline has a zero vector, and its bits
    are those of a run without steering.

    Attributes:
        layer: layer to change.
        vectors: the added vectors, coefficient included, in the order of the prompts.
        where: `all` positions, prompt included; positions of `generated` tokens; or positions, in
            prompt or generated text, of tokens that end at a `decision`.
        is_decision: for `decision`, whether the last of a row's token ids so far, prompt first, is
            one. It is asked once per row and position, and again where a row crosses a length at
            which the model changes its formula; it must not change the list, nor keep it.
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
    n: int = 1,
    is_done: Callable[[list[int]], bool] | None = None,
    steering: Steering | None = None,
    batch_size: int = 256,
    progress: Callable[[int], None] | None = None,
) -> list[Generation]:
    """What the model writes after each prompt, in the order of the keys.

    Tokens are drawn by inverse CDF from uniforms that depend on seed, key and step alone: rows
    with the same key share random numbers, whatever their arm, dose or batch.

    Args:
        loaded: the model.
        prompts: token ids, at least one each.
        keys: names that a row's random numbers come from, `n` per prompt.
        sampling: seed, temperature and length limit.
        n: rows of each prompt, which is read once for all of them.
        is_done: whether what a row has written is enough; it is asked after every token. By default
            a row ends with an end token.
        steering: vectors to add, one per prompt.
        batch_size: rows that share a call of the model.
        progress: told the number of newly finished rows.

    Raises:
        ValueError: for an empty prompt, or numbers of keys or vectors that do not fit the number of
            prompts.
        UserError: where prompts and new tokens need more positions than the model has, and where
            the logits are not finite.
    """
    _require_rows(loaded, prompts, keys, n, sampling, steering)
    is_done = is_done or _ends(loaded)
    generations: dict[int, Generation] = {}
    for batch in _of_one_formula(loaded, prompts, max(1, batch_size // n), sampling):
        rows = [
            _Row(index, prompt, [*prompts[prompt]], draw_uniforms(sampling, keys[index]))
            for prompt in batch
            for index in range(prompt * n, prompt * n + n)
        ]
        for index, generation in _run_batch(loaded, rows, n, sampling, is_done, steering):
            generations[index] = generation
            if progress is not None:
                progress(1)
    return [generations[row] for row in range(len(keys))]


def batches_of(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Numbers of the prompts that share calls of the model: those of like length."""
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _of_one_formula(
    loaded: LoadedModel, prompts: Sequence[Sequence[int]], batch_size: int, sampling: Sampling
) -> Iterator[list[int]]:
    """As `batches_of`, parted where prompts are read by different formulas.

    Rows that cross a limit while they are written do so together: they are not padded.
    """
    formula = loaded.lengths.formula
    for batch in batches_of(prompts, batch_size):
        part: list[int] = []
        for row in batch:
            n = len(prompts[row])
            crosses = formula(n) != formula(n + sampling.max_new_tokens - 1)
            first = len(prompts[part[0]]) if part else n
            if formula(n) != formula(first) or (crosses and n - first > PADDED):
                yield part
                part = []
            part.append(row)
        yield part


@dataclass
class _Row:
    """One row on its way: `ids` grows behind its padding, `uniforms` has a number per new token."""

    index: int
    prompt: int
    ids: list[int]
    uniforms: np.ndarray
    padding: int = 0
    generation: Generation | None = None

    def __post_init__(self) -> None:
        self.n_prompt, self.n_steered = len(self.ids), 0

    def token(self, position: int) -> int:
        """What it reads at a position of the batch: its last token again where it has finished."""
        at = position - self.padding
        return self.ids[min(at, len(self.ids) - 1)] if at >= 0 else 0

    def is_read(self, end: int) -> bool:
        """Whether the prompt ends before a position of the batch."""
        return end >= self.padding + self.n_prompt

    @property
    def uniform(self) -> float:
        """The number for the next new token; any for a row that has finished."""
        return self.uniforms[min(len(self.ids) - self.n_prompt, len(self.uniforms) - 1)]

    def take(self, token: int, is_done: Callable[[list[int]], bool]) -> None:
        """Appends a sampled token; the last one makes the generation."""
        self.ids.append(token)
        written = self.ids[self.n_prompt :]
        if is_done(written):
            reason: FinishReason = "empty" if len(written) == 1 else "stop"
        elif len(written) == len(self.uniforms):
            reason = "length"
        else:
            return
        self.generation = Generation(written, reason, self.n_steered)


def _run_batch(
    loaded: LoadedModel,
    rows: list[_Row],
    n: int,
    sampling: Sampling,
    is_done: Callable[[list[int]], bool],
    steering: Steering | None,
) -> Iterator[tuple[int, Generation]]:
    """Index and generation of each row, as it finishes; n rows after one another share a prompt."""
    shortest, longest = rows[0].n_prompt, rows[-1].n_prompt
    if longest - shortest > PADDED:
        for row in rows:
            row.padding = longest - row.n_prompt
    cache, start, end = empty_cache(loaded.model.config), 0, rows[0].padding + shortest
    logits = _next_logits(loaded, rows[::n], start, end, cache, steering)
    if n > 1:
        repeated = torch.arange(len(rows), device=loaded.device) // n
        cache.batch_select_indices(repeated)
        logits = logits[repeated]
        for at, row in enumerate(rows):
            row.n_steered = rows[at - at % n].n_steered
    while True:
        tokens = draw(logits, [row.uniform for row in rows], sampling.temperature)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row.generation is None and row.is_read(end):
                row.take(token, is_done)
                if row.generation is not None:
                    yield row.index, row.generation
        rows = _drop_finished(loaded, rows, cache)
        if not rows:
            return
        start, end = end, end + 1
        if _formula(loaded, rows, end) != _formula(loaded, rows, start):
            cache, start = empty_cache(loaded.model.config), 0
        logits = _next_logits(loaded, rows, start, end, cache, steering)


def _formula(loaded: LoadedModel, rows: list[_Row], end: int) -> str:
    """By which formula the rows are read up to a position of the batch."""
    return loaded.lengths.formula(end - min(row.padding for row in rows))


def _next_logits(
    loaded: LoadedModel,
    rows: list[_Row],
    start: int,
    end: int,
    cache: DynamicCache,
    steering: Steering | None,
) -> Float[Tensor, "rows d_vocab"]:
    """Logits after positions `start` to `end - 1`, which are read into the cache."""
    ids = [[row.token(at) for at in range(start, end)] for row in rows]
    padding = torch.tensor([row.padding for row in rows])[:, None]
    named: dict[str, Any] = {}
    if padding.any():
        named["attention_mask"] = (torch.arange(end) >= padding).long().to(loaded.device)
        if "position_ids" in inspect.signature(loaded.model.forward).parameters:
            position = (torch.arange(start, end) - padding).clamp(min=0)
            named["position_ids"] = position.to(loaded.device)
    steered = nullcontext()
    if steering is not None:
        if start == 0:
            for row in rows:
                row.n_steered = 0
        steered = hooks.add_vector(
            loaded.blocks,
            steering.layer,
            steering.vectors[[row.prompt for row in rows]],
            _steered_positions(steering, rows, start, end),
            partial(_count, rows),
        )
    with steered:
        return loaded.model(
            torch.tensor(ids, device=loaded.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **named,
        ).logits[:, -1]


def _steered_positions(
    steering: Steering, rows: list[_Row], start: int, end: int
) -> Bool[Tensor, "rows pos"]:
    def is_steered(row: _Row, at: int) -> bool:
        if at < 0 or row.generation is not None:
            return False
        if steering.is_decision is None:
            return steering.where == "all" or at >= row.n_prompt
        return steering.is_decision(row.ids[: at + 1])

    return torch.tensor(
        [[is_steered(row, at - row.padding) for at in range(start, end)] for row in rows]
    )


def _count(rows: list[_Row], added: Bool[Tensor, "rows pos"]) -> None:
    """Counts where something was added; what is read again is counted anew."""
    for row, n in zip(rows, added.sum(dim=1).tolist(), strict=True):
        row.n_steered += n


def _drop_finished(loaded: LoadedModel, rows: list[_Row], cache: DynamicCache) -> list[_Row]:
    """The rows to go on with; copying the cache pays once a share of them has finished."""
    alive = [position for position, row in enumerate(rows) if row.generation is None]
    if alive and len(rows) - len(alive) < max(1, DROPPED_SHARE * len(rows)):
        return rows
    if alive:
        cache.batch_select_indices(torch.tensor(alive, device=loaded.device))
    return [rows[position] for position in alive]


def _ends(loaded: LoadedModel) -> Callable[[list[int]], bool]:
    """Whether an end token was written last."""
    configured: Any = getattr(loaded.model.generation_config, "eos_token_id", None)
    stop_ids = {*(configured if isinstance(configured, list) else [configured])}
    stop_ids.add(loaded.tokenizer.eos_token_id)
    return lambda written: written[-1] in stop_ids


def _require_rows(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[str],
    n: int,
    sampling: Sampling,
    steering: Steering | None,
) -> None:
    n_vectors = len(prompts) if steering is None else len(steering.vectors)
    if len(keys) != n * len(prompts) or len(prompts) != n_vectors:
        raise ValueError(
            f"{len(prompts)} prompts, {len(keys)} keys and {n_vectors} vectors: the numbers differ"
        )
    if not all(prompts):
        raise ValueError("a prompt has no tokens: begin it with the tokenizer's start token")
    require_none_remembered(loaded)
    for number, prompt in enumerate(prompts):
        require_ids(loaded, prompt, f"Prompt {number}")
    longest = max(map(len, prompts), default=1) + sampling.max_new_tokens - 1
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and longest > context:
        raise UserError(
            f"The longest prompt and {sampling.max_new_tokens} new tokens need {longest} "
            f"positions, and the model has {context}.",
            "Lower `max_new_tokens`, or leave out the longest prompts.",
        )
