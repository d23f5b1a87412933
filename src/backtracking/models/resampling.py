"""What a model writes after a decision whose deciding token is edited, many times over.

The prefix is read once. Its last token is read again under every arm, edited at one layer, and what
is drawn after it reads that from the cache: one edited prefix, many draws.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import edits, hooks, kv_cache
from backtracking.models.forced import Arm, Prefix, Stack
from backtracking.models.generation import DROPPED_SHARE
from backtracking.models.loading import LoadedModel
from backtracking.models.prefixes import TOKENS_HELD
from backtracking.models.sampling import Sampling, draw, draw_uniforms
from lifeboat.stage.errors import UserError

IsDone = Callable[[list[int]], bool]
"""Whether what was written is enough; asked after every token."""


@dataclass(frozen=True)
class Draws:
    """How often, and how, what follows a decision is drawn.

    Attributes:
        n: draws of each decision under each arm.
        sampling: seed, temperature and length limit.
        rows_per_batch: draws in one call of the model.
    """

    n: int
    sampling: Sampling
    rows_per_batch: int

    def keys(self, decision_id: str) -> list[str]:
        """What the random numbers of a decision's draws depend on; arms share them."""
        return [f"{decision_id}/{number}" for number in range(self.n)]


def has_room(loaded: LoadedModel, n_prefix: int, sampling: Sampling) -> bool:
    """Whether the model can write on after so many tokens, by one formula."""
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    n, formula = n_prefix + sampling.max_new_tokens - 1, loaded.lengths.formula
    return (context is None or n <= context) and formula(n_prefix - 1) == formula(n)


@torch.inference_mode()
def write_on(
    loaded: LoadedModel,
    layer: int,
    prefix: Prefix,
    arms: Sequence[Arm],
    decision_id: str,
    draws: Draws,
    is_done: IsDone,
) -> list[list[list[int]]]:
    """Ids that are written under each arm, draw by draw, behind a prefix that ends at a decision.

    Args:
        loaded: the model that writes.
        layer: whose output is edited, at the last of the prefix's ids alone.
        prefix: its ids end with the deciding token; so do the donor's, where it has some.
        arms: the edits.
        decision_id: its name, which random numbers depend on.
        draws: how many and how.
        is_done: whether a draw has written enough.

    Raises:
        UserError: where as many deciding tokens as there are draws were not edited.
    """
    past = kv_cache.read(loaded, prefix.ids[:-1])
    edited = _edited(loaded, layer, prefix, past, arms)
    uniforms = [draw_uniforms(draws.sampling, key) for key in draws.keys(decision_id)]
    rows = [(arm, number) for arm in range(len(arms)) for number in range(draws.n)]
    found: list[list[list[int]]] = [[] for _ in arms]
    n_tokens = len(prefix.ids) + draws.sampling.max_new_tokens
    room = loaded.room("draws", min(draws.rows_per_batch, TOKENS_HELD // len(prefix.ids)))
    n_edited = 0

    def write(some: Sequence[tuple[int, int]]) -> tuple[int, list[list[int]]]:
        n = 0

        def edited_once() -> Bool[Tensor, "rows one"]:
            nonlocal n
            n += len(some)
            return torch.ones(len(some), 1, dtype=torch.bool)

        arm = torch.tensor([row for row, _ in some], device=loaded.device)
        with edits.patch(loaded.blocks[layer], edited[arm][:, None], edited_once):
            cache = kv_cache.grown(past, len(some))
            logits = _next_logits(loaded, [prefix.ids[-1]] * len(some), cache)
        its = [uniforms[number] for _, number in some]
        return n, _write(loaded, logits, cache, its, draws.sampling, is_done)

    drawn = list[list[int]]()
    for n, written in room.parts(rows, write, n_tokens):
        n_edited += n
        drawn += written
    for (row, _), ids in zip(rows, drawn, strict=True):
        found[row].append(ids)
    if n_edited != len(rows):
        raise UserError(
            f"Expected {len(rows)} edits of deciding tokens at layer {layer}, found {n_edited}.",
            "Report it: what was drawn is not what these arms write.",
        )
    return found


def _edited(
    loaded: LoadedModel,
    layer: int,
    prefix: Prefix,
    past: DynamicCache,
    arms: Sequence[Arm],
) -> Float[Tensor, "arms d_model"]:
    """The state at the deciding token under every arm."""
    stack, every = Stack.of(arms, loaded.device), torch.arange(len(arms), device=loaded.device)
    (own,) = _states(loaded, layer, [prefix.ids[-1]], kv_cache.grown(past, 1))
    donor = None
    if prefix.donor_ids:
        (donor,) = _states(loaded, layer, prefix.donor_ids, None)[-1:]
        donor = donor.expand(len(arms), -1)
    return stack.edited(own.expand(len(arms), -1), every, donor)


def _states(
    loaded: LoadedModel, layer: int, ids: Sequence[int], cache: DynamicCache | None
) -> Float[Tensor, "pos d_model"]:
    with hooks.capture(loaded.blocks, [layer]) as resid_post_by_layer:
        tokens = torch.tensor([list(ids)], device=loaded.device)
        loaded.model(tokens, past_key_values=cache, use_cache=cache is not None)
    return resid_post_by_layer[layer][0]


def _write(
    loaded: LoadedModel,
    logits: Float[Tensor, "rows d_vocab"],
    cache: DynamicCache,
    uniforms: Sequence[np.ndarray],
    sampling: Sampling,
    is_done: IsDone,
) -> list[list[int]]:
    written: list[list[int]] = [[] for _ in uniforms]
    rows, done = np.arange(len(uniforms)), np.zeros(len(uniforms), dtype=bool)
    for step in range(sampling.max_new_tokens):
        at_step = [uniforms[row][step] for row in rows.tolist()]
        tokens = draw(logits, at_step, sampling.temperature).tolist()
        for row, token in zip(rows, tokens, strict=True):
            if not done[row]:
                written[row].append(token)
                done[row] = is_done(written[row])
        if done.all() or step + 1 == sampling.max_new_tokens:
            break
        if done[rows].sum() >= max(1, DROPPED_SHARE * len(rows)):
            kept = np.flatnonzero(~done[rows])
            cache.batch_select_indices(torch.from_numpy(kept))
            rows, tokens = rows[kept], [tokens[at] for at in kept]
        logits = _next_logits(loaded, tokens, cache)
    return written


def _next_logits(
    loaded: LoadedModel, tokens: Sequence[int], cache: DynamicCache
) -> Float[Tensor, "rows d_vocab"]:
    ids = torch.tensor(tokens, device=loaded.device)[:, None]
    return loaded.model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]
