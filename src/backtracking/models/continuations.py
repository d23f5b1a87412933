"""Many short continuations of each of many prefixes, every prefix read once.

`generation.generate` aligns rows by position and reads a prefix once for every row, which is right
for long rollouts of few prompts. Here prefixes are padded on the left, with a mask and with
positions that count from each prefix's own first token; the cache is then repeated.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling, draw, draw_uniforms


@torch.inference_mode()
def continue_prefixes(
    loaded: LoadedModel,
    prefixes: Sequence[Sequence[int]],
    keys: Sequence[str],
    n: int,
    sampling: Sampling,
    is_done: Callable[[list[int]], bool],
    rows_per_batch: int,
    progress: Callable[[int], None] = lambda rows: None,
) -> list[list[list[int]]]:
    """For each prefix, the token ids of `n` continuations.

    Args:
        loaded: the model.
        prefixes: token ids, at least one each.
        keys: names that a prefix's random numbers come from, one per prefix.
        n: continuations of each.
        sampling: seed, temperature, and the length at which a continuation is cut.
        is_done: whether a continuation so far is enough; it is asked after every token.
        rows_per_batch: continuations that share a call of the model.
        progress: told the number of newly finished continuations.
    """
    order = sorted(range(len(prefixes)), key=lambda row: len(prefixes[row]))
    size = max(1, rows_per_batch // n)
    found: list[list[list[int]]] = [[] for _ in prefixes]
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        uniforms = [
            draw_uniforms(sampling, f"{keys[row]}/{number}")
            for row in chosen
            for number in range(n)
        ]
        written = _continue(
            loaded, [prefixes[row] for row in chosen], n, uniforms, sampling, is_done
        )
        for at, row in enumerate(chosen):
            found[row] = written[at * n : (at + 1) * n]
        progress(len(written))
    return found


def _continue(
    loaded: LoadedModel,
    prefixes: Sequence[Sequence[int]],
    n: int,
    uniforms: Sequence[np.ndarray],
    sampling: Sampling,
    is_done: Callable[[list[int]], bool],
) -> list[list[int]]:
    ids, mask = _pad_left(prefixes)
    cache = DynamicCache(config=loaded.model.config)
    logits = next_logits(loaded, ids, mask, cache).repeat_interleave(n, dim=0)
    cache.batch_repeat_interleave(n)
    mask = mask.repeat_interleave(n, dim=0)
    written: list[list[int]] = [[] for _ in uniforms]
    rows = list(range(len(written)))
    for step in range(sampling.max_new_tokens):
        tokens = draw(logits, [uniforms[row][step] for row in rows], sampling.temperature)
        for row, token in zip(rows, tokens.tolist(), strict=True):
            written[row].append(token)
        going = [at for at, row in enumerate(rows) if not is_done(written[row])]
        if not going or step + 1 == sampling.max_new_tokens:
            break
        if len(going) < len(rows):
            cache.batch_select_indices(torch.tensor(going, device=loaded.device))
            rows, mask, tokens = [rows[at] for at in going], mask[going], tokens[going]
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
        logits = next_logits(loaded, tokens[:, None].cpu(), mask, cache)
    return written


def next_logits(
    loaded: LoadedModel,
    ids: Int[Tensor, "rows new"],
    mask: Bool[Tensor, "rows pos"],
    cache: DynamicCache,
) -> Float[Tensor, "rows d_vocab"]:
    """Logits after the new tokens, which are read into the cache.

    Args:
        loaded: the model.
        ids: the new tokens.
        mask: of all positions so far, the new ones included: false where there is padding.
        cache: holds the positions before the new ones.
    """
    named: dict[str, Any] = {}
    if "position_ids" in inspect.signature(loaded.model.forward).parameters:
        position = (mask.long().cumsum(dim=1) - 1).clamp(min=0)
        named["position_ids"] = position[:, -ids.shape[1] :].to(loaded.device)
    return loaded.model(
        input_ids=ids.to(loaded.device),
        attention_mask=mask.long().to(loaded.device),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
        **named,
    ).logits[:, -1]


def _pad_left(
    prefixes: Sequence[Sequence[int]],
) -> tuple[Int[Tensor, "rows pos"], Bool[Tensor, "rows pos"]]:
    longest = max(map(len, prefixes))
    ids = torch.zeros(len(prefixes), longest, dtype=torch.long)
    mask = torch.zeros(len(prefixes), longest, dtype=torch.bool)
    for row, prefix in enumerate(prefixes):
        ids[row, longest - len(prefix) :] = torch.tensor(list(prefix))
        mask[row, longest - len(prefix) :] = True
    return ids, mask
