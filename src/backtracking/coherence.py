"""Is what a model writes still its own language: how probable, and how repetitive, is it?"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from backtracking.models import LoadedModel
from backtracking.organism.states import Reading

NGRAM = 8
"""Length of a repeated stretch: longer than a sentence of the organism's that recurs by right."""


@torch.inference_mode()
def token_nll(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    tokens_per_batch: int = 16384,
) -> list[Float[np.ndarray, " _"]]:
    """-log p of every written token under the model as it is, in nats.

    Rows of like length share a batch, padded on the right, where no position sees the padding.
    """
    found: list[np.ndarray] = [np.zeros(0)] * len(written)
    lengths = [len(p) + len(w) for p, w in zip(prompts, written, strict=True)]
    order = sorted(range(len(written)), key=lambda row: lengths[row])
    while order:
        size = max(1, tokens_per_batch // lengths[order[-1]])
        chunk, order = order[-size:], order[:-size]
        rows = [torch.tensor([*prompts[row], *written[row]]) for row in chunk]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(loaded.device)
        logits = loaded.model(input_ids=ids, use_cache=False).logits[:, :-1].float()
        chosen = logits.gather(2, ids[:, 1:, None])[:, :, 0]
        nll = (logits.logsumexp(dim=2) - chosen).double().cpu().numpy()
        for number, row in enumerate(chunk):
            found[row] = nll[number, len(prompts[row]) - 1 : lengths[row] - 1]
    return found


def opens_backtracking(readings: Sequence[Reading], n_tokens: int) -> Bool[np.ndarray, " n_tokens"]:
    """Which tokens of a trace are the first of a backtracking sentence.

    Steering is to write them where the model would not, so they are no sign of incoherence.
    """
    mask = np.zeros(n_tokens, dtype=bool)
    mask[[one.start for one in readings if one.state == "backtracking"]] = True
    return mask


def repeated_share(token_ids: Sequence[int], n: int = NGRAM) -> float | None:
    """Share of a text's n-grams that stood in it before; None where it is too short to have one."""
    grams = [tuple(token_ids[i : i + n]) for i in range(len(token_ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else None
