"""How probable a model holds each token of a text."""

from collections.abc import Sequence
from itertools import takewhile

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.models.batches import to_numpy
from backtracking.models.heads import Run, read
from backtracking.models.loading import LoadedModel


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
        formulas = [loaded.lengths.formula(lengths[row]) for row in order[-size:]]
        n_alike = len(list(takewhile(formulas[-1].__eq__, reversed(formulas))))
        chunk, order = order[-n_alike:], order[:-n_alike]
        rows = [torch.tensor([*prompts[row], *written[row]]) for row in chunk]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(loaded.device)
        run = read(loaded, ids)
        for number, row in enumerate(chunk):
            asked = torch.arange(len(prompts[row]) - 1, lengths[row] - 1, device=ids.device)
            if len(asked):
                found[row] = to_numpy(-_log_p(run, number, ids[number], asked))
    return found


def _log_p(
    run: Run, row: int, ids: Int[Tensor, " pos"], positions: Int[Tensor, " some"]
) -> Float[Tensor, " some"]:
    """Of the token that stands behind each of these positions of a row."""
    parts = [
        run.log_probabilities(torch.full_like(some, row), some).gather(1, ids[some + 1, None])[:, 0]
        for some in run.pieces(positions)
    ]
    return torch.cat(parts)
