"""How probable turning was under the model that wrote a trace: what no probe can rank better.

What a domain's law says of a prefix is no ceiling for the action, because a model wrote it: it errs
in ways of its own, which a probe may read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import kv_cache
from backtracking.models.loading import LoadedModel
from backtracking.records.tokens import Opener, TokenSet


@dataclass(frozen=True)
class Prefixes:
    """Prefixes of one trace.

    Attributes:
        ids: the whole trace, prompt first.
        ends: how many of the ids each prefix has.
    """

    ids: list[int]
    ends: Int[np.ndarray, " n"]


def p_turns(
    writer: LoadedModel,
    traces: Sequence[Prefixes],
    openers: Sequence[Opener],
    asides: TokenSet | None,
) -> list[Float[np.ndarray, " n"]]:
    """P(the action is to turn | prefix) of each trace's prefixes, at temperature 1.

    The sum over openers of p(opener) (1 - p(taken back)), given that no aside comes first: an aside
    says what is known, and the action after it is taken to have the same probability.
    """
    return [_p_turns(writer, one, openers, asides) for one in traces]


@torch.inference_mode()
def _p_turns(
    writer: LoadedModel, prefixes: Prefixes, openers: Sequence[Opener], asides: TokenSet | None
) -> Float[np.ndarray, " n"]:
    """Every prefix is a row that sees its part of the trace, which is read once."""
    ends = torch.from_numpy(prefixes.ends)
    past = DynamicCache()
    row = torch.tensor([prefixes.ids], device=writer.device)
    logits = writer.model(input_ids=row, past_key_values=past, use_cache=True).logits[0]
    opening = _p(logits[ends.to(writer.device) - 1])
    turns = torch.zeros(len(ends), dtype=torch.float64)
    for opener in openers:
        for first in opener.ids.ids:
            stays = 1.0
            if opener.taken_back_by:
                *between, last = opener.taken_back_by
                stays = 1 - _p_after(writer, past, ends, [first, *between])[:, last]
            turns += opening[:, first] * stays
    skipped = opening[:, list(asides.ids)].sum(dim=1) if asides else 0.0
    return (turns / (1 - skipped)).numpy()


def _p_after(
    writer: LoadedModel, past: DynamicCache, ends: Int[Tensor, " n"], suffix: list[int]
) -> Float[Tensor, "n d_vocab"]:
    """Probabilities of the token after each prefix and a suffix."""
    n, device = len(ends), writer.device
    sees = torch.arange(past.get_seq_length()) < ends[:, None]
    mask = torch.cat([sees, torch.ones(n, len(suffix), dtype=torch.bool)], dim=1)
    return _p(
        writer.model(
            input_ids=torch.tensor([suffix] * n, device=device),
            attention_mask=mask.long().to(device),
            position_ids=(ends[:, None] + torch.arange(len(suffix))).to(device),
            past_key_values=kv_cache.repeated(past, n),
            use_cache=True,
        ).logits[:, -1]
    )


def _p(logits: Float[Tensor, "n d_vocab"]) -> Float[Tensor, "n d_vocab"]:
    return logits.double().softmax(dim=1).cpu()
