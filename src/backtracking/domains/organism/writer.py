"""How probable backtracking was under the model that wrote a trace: what no probe can rank better.

The policy's posterior tells what the world's generator would do. A model that learnt from it has
probabilities of its own (it errs, and more often near the target), and a probe may read those.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models.loading import LoadedModel
from backtracking.records.moments import Moments
from backtracking.records.traces import Trace


def p_backtracks(
    writer: LoadedModel, written: Sequence[Trace], decisions: Moments
) -> Float[np.ndarray, " n"]:
    """P(the action is backtracking | prefix up to the decision) under the writer, at temperature 1.

    P(No) + P(Undo) + P(Wait) P(not "fine" | Wait ,), given that no report comes first: a report
    says what is known, and the action after it is taken to have the same probability.
    """
    ids = writer.tokenizer.get_vocab()
    found = np.full(len(decisions), np.nan)
    for trace in np.unique(decisions.trace):
        rows = np.flatnonzero(decisions.trace == trace)
        ends = torch.from_numpy(decisions.end[rows])
        opening, waiting = _read(writer, written[trace].ids, ends, [ids["Wait"], ids[","]])
        p = {word: opening[:, ids[word]] for word in ("Wait", "No", "Undo", "Check")}
        acts = p["No"] + p["Undo"] + p["Wait"] * (1 - waiting[:, ids["fine"]])
        found[rows] = (acts / (1 - p["Check"])).numpy()
    return found


@torch.inference_mode()
def _read(
    loaded: LoadedModel, ids: list[int], ends: Int[Tensor, " n"], suffix: list[int]
) -> tuple[Float[Tensor, "n d_vocab"], Float[Tensor, "n d_vocab"]]:
    """Probabilities of the token after each prefix of a trace, and after prefix and suffix.

    The trace is read once; each prefix is a row that sees only its part of the cache.
    """
    device, n = loaded.device, len(ends)
    cache = DynamicCache()
    row = torch.tensor(ids, device=device)[None]
    logits = loaded.model(input_ids=row, past_key_values=cache, use_cache=True).logits[0]
    cache.batch_repeat_interleave(n)
    sees = torch.arange(len(ids)) < ends[:, None]
    mask = torch.cat([sees, torch.ones(n, len(suffix), dtype=torch.bool)], dim=1)
    longer = loaded.model(
        input_ids=torch.tensor([suffix] * n, device=device),
        attention_mask=mask.long().to(device),
        position_ids=(ends[:, None] + torch.arange(len(suffix))).to(device),
        past_key_values=cache,
        use_cache=True,
    ).logits[:, -1]
    both = (logits[ends.to(device) - 1], longer)
    opening, waiting = (one.double().softmax(dim=1).cpu() for one in both)
    return opening, waiting
