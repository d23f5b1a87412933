"""Whether a model writes the same alone and in a batch."""

from collections.abc import Sequence

import torch

from backtracking.models.generation import generate
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling

NEAR_TIE = 1e-4


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
