"""Batched, seeded, steered generation: the one way in which a model writes on.

Rows stand in slots of one cache, each at its own position: a row that ends leaves its slot to the
next prompt, which is read in chunks, and no row waits for another or is padded on the left
(`slots`). Where a model's cache has no slots, and where a text crosses a length at which the model
changes its formula, rows of like prompts go in step instead: each is read up to the end of the
shortest prompt in one call, and from there on takes one token a call, its own prompt's next as long
as there is one. What a row writes does not depend on the others in its batch, up to the rounding of
its logits (`batching.compare_greedy` counts that).
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, hooks, slots
from backtracking.models.footprint import READ_AT_ONCE
from backtracking.models.kv_cache import empty_cache, require_none_remembered
from backtracking.models.loading import LoadedModel, require_ids
from backtracking.models.sampling import Sampling, draw, draw_uniforms
from backtracking.models.slots import Slots
from lifeboat.stage.errors import UserError

FinishReason = Literal["stop", "length", "empty"]
Where = Literal["decision", "generated", "all"]
Kind = Literal["add", "set_projection", "patch"]

DROPPED_SHARE = 1 / 8
"""Of the rows that go in step, or of the slots: so many must be free before rows are moved."""
LIKE = 8
"""Tokens by which prompts may differ whose rows go in step: that costs as many calls."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt.

    Attributes:
        token_ids: the new token ids, the end token included where there is one.
        finish_reason: `stop` (end token), `length` (truncated) or `empty` (end token at once).
        n_steered: tokens at which the stream was edited, as the hook counts them.
    """

    token_ids: list[int]
    finish_reason: FinishReason
    n_steered: int = 0


@dataclass(frozen=True)
class Steering:
    """One edit of `resid_post[layer]` per prompt, at chosen positions.

    Arms, doses and problems share batches: a row of the baseline has a zero vector, and its bits
    are those of a run without steering.

    Attributes:
        layer: layer to change.
        vectors: in the order of the prompts: what is added, coefficient included; the direction
            along which the projection is set; or what is written over the stream.
        where: `all` positions, prompt included; positions of `generated` tokens; or positions, in
            prompt or generated text, of tokens that end at a `decision`.
        is_decision: for `decision`, whether the last of a row's token ids so far, prompt first, is
            one. It is asked once per row and position, and again where a row crosses a length at
            which the model changes its formula; it must not change the list, nor keep it.
        kinds: of each prompt's edit; None adds in all.
        values: of the projections, 0 to project out; None is 0 in all.
    """

    layer: int
    vectors: Float[Tensor, "rows d_model"]
    where: Where
    is_decision: Callable[[list[int]], bool] | None = None
    kinds: Sequence[Kind] | None = None
    values: Float[Tensor, " rows"] | None = None

    def __post_init__(self) -> None:
        if (self.where == "decision") != (self.is_decision is not None):
            raise ValueError("`is_decision` belongs to `where='decision'`, and to it only.")
        if self.kinds is not None and len(self.kinds) != len(self.vectors):
            raise ValueError(f"{len(self.vectors)} vectors and {len(self.kinds)} `kinds`")

    def decides(self, ids: list[int], at: int, n_prompt: int) -> bool:
        """Whether a position of a row's ids is edited."""
        if self.is_decision is None:
            return self.where == "all" or at >= n_prompt
        return self.is_decision(ids[: at + 1])


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
        steering: edits, one per prompt.
        batch_size: rows that share a call of the model, at most.
        progress: told the number of newly finished rows.

    Raises:
        ValueError: for an empty prompt, or numbers of keys or vectors that do not fit the number of
            prompts.
        UserError: where prompts and new tokens need more positions than the model has, and where
            the logits are not finite.
    """
    _require_rows(loaded, prompts, keys, n, sampling, steering)
    edits = None if steering is None else _Edits.of(loaded, steering)
    writer = _Writer(loaded, prompts, keys, n, sampling, is_done or _ends(loaded), edits)
    generations: dict[int, Generation] = {}
    for index, generation in writer.write(max(1, batch_size // n)):
        generations[index] = generation
        if progress is not None:
            progress(1)
    return [generations[row] for row in range(len(keys))]


def batches_of(prompts: Sequence[Sequence[int]], batch_size: int) -> list[list[int]]:
    """Numbers of the prompts that share calls of the model: those of like length."""
    order = _by_length(prompts)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _by_length(prompts: Sequence[Sequence[int]]) -> list[int]:
    return sorted(range(len(prompts)), key=lambda row: len(prompts[row]))


@dataclass
class _Row:
    """One row on its way: `uniforms` has a number per new token."""

    index: int
    prompt: int
    ids: list[int]
    uniforms: np.ndarray
    generation: Generation | None = None

    def __post_init__(self) -> None:
        self.n_prompt, self.n_steered = len(self.ids), 0

    def tokens(self, start: int, end: int) -> list[int]:
        """What it reads at some positions: its last token again where it has no other."""
        found = self.ids[start:end]
        return found + [self.ids[-1]] * (end - start - len(found))

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


@dataclass(frozen=True)
class _Edits:
    """A steering as tensors on the model's device.

    Attributes:
        steering: what it says.
        kinds, vectors, values: by prompt.
    """

    steering: Steering
    kinds: np.ndarray
    vectors: Float[Tensor, "prompts d_model"]
    values: Float[Tensor, " prompts"]

    @classmethod
    def of(cls, loaded: LoadedModel, steering: Steering) -> "_Edits":
        vectors, n = steering.vectors.to(loaded.device), len(steering.vectors)
        values = torch.zeros(n) if steering.values is None else steering.values
        kinds = np.array(steering.kinds or ["add"] * n)
        return cls(steering, kinds, vectors, values.to(loaded.device))

    def enter(
        self,
        stack: ExitStack,
        loaded: LoadedModel,
        rows: Sequence[_Row],
        where: Bool[Tensor, "rows pos"],
    ) -> None:
        """Edits the rows of the calls to come, each kind by a hook; hooks count what they do."""
        prompts, layer = [row.prompt for row in rows], self.steering.layer
        block, vectors, values = loaded.blocks[layer], self.vectors[prompts], self.values[prompts]
        kinds = self.kinds[prompts]
        for kind in np.unique(kinds).tolist():
            here = where & torch.from_numpy(kinds == kind)[:, None]
            counted = partial(_counted, rows, here)
            if kind == "add":
                told = partial(_count, rows)
                edit = hooks.add_vector(loaded.blocks, layer, vectors, here, told)
            elif kind == "patch":
                edit = edits.patch(block, vectors[:, None], counted)
            else:
                edit = edits.set_projection(block, vectors, values, counted)
            stack.enter_context(edit)


def _counted(rows: Sequence[_Row], where: Bool[Tensor, "rows pos"]) -> Bool[Tensor, "rows pos"]:
    """The positions, which are counted as a hook asks for them."""
    _count(rows, where)
    return where


def _count(rows: Sequence[_Row], edited: Bool[Tensor, "rows pos"]) -> None:
    for row, n in zip(rows, edited.sum(dim=1).tolist(), strict=True):
        row.n_steered += n


@dataclass(frozen=True)
class _Writer:
    """What is to be written, and how; rows as in `generate`."""

    loaded: LoadedModel
    prompts: Sequence[Sequence[int]]
    keys: Sequence[str]
    n: int
    sampling: Sampling
    is_done: Callable[[list[int]], bool]
    edits: _Edits | None

    def write(self, at_once: int) -> Iterator[tuple[int, Generation]]:
        """Index and generation of each row, as it ends; so many prompts at once."""
        in_slots, in_step = list[int](), list[int]()
        for prompt in _by_length(self.prompts):
            reason = self._why_in_step(len(self.prompts[prompt]))
            (in_slots if reason is None else in_step).append(prompt)
            if reason is not None:
                _tell(type(self.loaded.model).__name__, reason)
        yield from self._with_room(at_once, self._write_in_slots, in_slots)
        for batch in self._alike(in_step, at_once):
            yield from self._with_room(at_once, self._write_in_step, batch)

    def _with_room(
        self,
        at_once: int,
        write: Callable[[list[int], int], Iterator[tuple[int, Generation]]],
        prompts: list[int],
    ) -> Iterator[tuple[int, Generation]]:
        """What is written for some prompts; where memory ends, rows on their way begin again."""
        room, done = self.loaded.room("prompts", at_once), set[int]()
        while prompts:
            n_tokens = self.n * self._n_slots(prompts)
            fitting = min(len(prompts), room.at_once(n_tokens))
            try:
                for index, generation in write(prompts, fitting):
                    if index not in done:
                        done.add(index)
                        yield index, generation
                return
            except RuntimeError as error:
                room.require(error, fitting)
            room.halve(fitting, n_tokens)
            own = {prompt: range(prompt * self.n, (prompt + 1) * self.n) for prompt in prompts}
            prompts = [one for one in prompts if not done.issuperset(own[one])]

    def _n_slots(self, order: Sequence[int]) -> int:
        """Tokens that a row may come to hold, of prompts that begin with the shortest."""
        return len(self.prompts[order[-1]]) + self.sampling.max_new_tokens - 1

    def _why_in_step(self, n_prompt: int) -> str | None:
        """Why the rows of a prompt cannot stand in slots."""
        formula = self.loaded.lengths.formula
        if formula(1) != formula(n_prompt + self.sampling.max_new_tokens - 1):
            return "it changes its formula at a length that texts may come to"
        return slots.why_not(self.loaded)

    def _write_in_slots(self, order: list[int], at_once: int) -> Iterator[tuple[int, Generation]]:
        cache = Slots(self.loaded, at_once * self.n, self._n_slots(order))
        waiting, rows = deque(order), list[_Row]()
        while waiting or rows:
            free = cache.n - len(rows)
            if waiting and (not rows or free >= max(self.n, DROPPED_SHARE * cache.n)):
                chosen = [waiting.popleft() for _ in range(min(free // self.n, len(waiting)))]
                rows += self._begin(cache, chosen, len(rows))
            starts = [len(row.ids) - 1 for row in rows]
            told = cache.place(self.loaded, 0, starts, 1)
            yield from self._take(rows, self._read(rows, starts, 1, told))
            rows = _close_gaps(cache, rows)

    def _begin(self, cache: Slots, prompts: list[int], first: int) -> list[_Row]:
        """The rows of prompts, shortest first, that are read into slots but for their last token.

        Rows that share a prompt share its reading.
        """
        rows = [self._rows(prompt) for prompt in prompts]
        ends, start = [len(some[0].ids) - 1 for some in rows], 0
        while start < ends[-1]:
            done = sum(end <= start for end in ends)
            some = [own[0] for own in rows[done:]]
            width = min(ends[-1] - start, max(1, READ_AT_ONCE // len(some)))
            starts = [start] * len(some)
            told = cache.place(self.loaded, first + done, starts, width)
            self._read(some, starts, width, told, ends[done:])
            start += width
        if self.n > 1:
            own = range(first, first + len(rows) * self.n)
            cache.copy([first + at // self.n for at in range(len(own))], own, ends[-1])
        for some in rows:
            for row in some[1:]:
                row.n_steered = some[0].n_steered
        return [row for some in rows for row in some]

    def _alike(self, order: list[int], at_once: int) -> Iterator[list[int]]:
        """Prompts that go in step: of like length, and read by one formula."""
        formula, part, first = self.loaded.lengths.formula, list[int](), 0
        for prompt in order:
            n = len(self.prompts[prompt])
            apart = part and (n - first > LIKE or formula(n) != formula(first))
            if apart or len(part) == at_once:
                yield part
                part = []
            first = first if part else n
            part.append(prompt)
        if part:
            yield part

    def _write_in_step(self, order: list[int], at_once: int) -> Iterator[tuple[int, Generation]]:
        for start in range(0, len(order), at_once):
            yield from self._write_batch(order[start : start + at_once])

    def _write_batch(self, batch: list[int]) -> Iterator[tuple[int, Generation]]:
        loaded, formula = self.loaded, self.loaded.lengths.formula
        rows, n = [row for prompt in batch for row in self._rows(prompt)], self.n
        cache, start, end = empty_cache(loaded.model.config), 0, rows[0].n_prompt
        logits = self._read_in_step(rows[::n], start, end, cache)
        if n > 1:
            repeated = torch.arange(len(rows), device=loaded.device) // n
            cache.reorder_cache(repeated)  # type: ignore[arg-type]
            logits = logits[repeated]
            for at, row in enumerate(rows):
                row.n_steered = rows[at - at % n].n_steered
        while True:
            yield from self._take(rows, logits, end)
            rows = _drop_finished(loaded, rows, cache)
            if not rows:
                return
            start, end = end, end + 1
            if formula(end) != formula(start):
                cache, start = empty_cache(loaded.model.config), 0
            logits = self._read_in_step(rows, start, end, cache)

    def _rows(self, prompt: int) -> list[_Row]:
        return [
            _Row(
                index,
                prompt,
                [*self.prompts[prompt]],
                draw_uniforms(self.sampling, self.keys[index]),
            )
            for index in range(prompt * self.n, prompt * self.n + self.n)
        ]

    def _read_in_step(
        self, rows: list[_Row], start: int, end: int, cache: DynamicCache
    ) -> Float[Tensor, "rows d_vocab"]:
        starts, told = [start] * len(rows), {"past_key_values": cache}
        return self._read(rows, starts, end - start, told)

    def _read(
        self,
        rows: Sequence[_Row],
        starts: Sequence[int],
        width: int,
        told: dict[str, Any],
        ends: Sequence[int] = (),
    ) -> Float[Tensor, "rows d_vocab"]:
        """Logits after some tokens of each row, which are read into the cache.

        Args:
            rows: what is read.
            starts: position of each row's first token.
            width: tokens of each row.
            told: what the model is told of the cache.
            ends: position behind the last token that is a row's own, where some have fewer.
        """
        ids = [row.tokens(at, at + width) for row, at in zip(rows, starts, strict=True)]
        for row, start in zip(rows, starts, strict=True):
            row.n_steered = row.n_steered if start else 0
        with ExitStack() as stack:
            if self.edits is not None:
                spans = [
                    range(at, min(at + width, end))
                    for at, end in zip(starts, ends or [at + width for at in starts], strict=True)
                ]
                where = torch.zeros(len(rows), width, dtype=torch.bool)
                for number, (row, span) in enumerate(zip(rows, spans, strict=True)):
                    if row.generation is None:
                        for at in span:
                            decides = self.edits.steering.decides(row.ids, at, row.n_prompt)
                            where[number, at - span.start] = decides
                self.edits.enter(stack, self.loaded, rows, where)
            return self.loaded.model(
                torch.tensor(ids, device=self.loaded.device),
                use_cache=True,
                logits_to_keep=1,
                **told,
            ).logits[:, -1]

    def _take(
        self, rows: Sequence[_Row], logits: Float[Tensor, "rows d_vocab"], end: int | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """Draws a token for each row whose prompt ends before a position; tells rows that end."""
        tokens = draw(logits, [row.uniform for row in rows], self.sampling.temperature)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row.generation is None and (end is None or row.n_prompt <= end):
                row.take(token, self.is_done)
                if row.generation is not None:
                    yield row.index, row.generation


def _close_gaps(cache: Slots, rows: list[_Row]) -> list[_Row]:
    """The rows to go on with, the last of them in the slots of those that have finished."""
    n = sum(row.generation is None for row in rows)
    gaps = [at for at, row in enumerate(rows[:n]) if row.generation is not None]
    moved = [at for at, row in enumerate(rows) if row.generation is None and at >= n]
    if gaps:
        cache.copy(moved, gaps, max(len(rows[at].ids) for at in moved))
        for gap, at in zip(gaps, moved, strict=True):
            rows[gap] = rows[at]
    return rows[:n]


@cache
def _tell(architecture: str, reason: str) -> None:
    """Says once what is slow."""
    _log.warning("%s writes its rows in step, which is slower: %s.", architecture, reason)


def _drop_finished(loaded: LoadedModel, rows: list[_Row], cache: DynamicCache) -> list[_Row]:
    """The rows to go on with; copying the cache pays once a share of them has finished."""
    alive = [position for position, row in enumerate(rows) if row.generation is None]
    if alive and len(rows) - len(alive) < max(1, DROPPED_SHARE * len(rows)):
        return rows
    if alive:
        cache.reorder_cache(torch.tensor(alive, device=loaded.device))  # type: ignore[arg-type]
    return [rows[position] for position in alive]


def _ends(loaded: LoadedModel) -> Callable[[list[int]], bool]:
    """Whether an end token was written last."""
    stop_ids = {*loaded.end_ids}
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
