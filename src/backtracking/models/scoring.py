"""How probable a model holds each token of a text."""

from collections.abc import Callable, Sequence
from itertools import takewhile

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from backtracking.models.batches import to_numpy
from backtracking.models.heads import Run, read
from backtracking.models.loading import LoadedModel


def token_nll(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    tokens_per_batch: int = 16384,
) -> list[Float[np.ndarray, " _"]]:
    """-log p of every written token under the model as it is, in nats."""
    return of_tokens(loaded, prompts, written, nll, tokens_per_batch)


Measure = Callable[[Float[Tensor, "some d_vocab"], Int[Tensor, " some"]], Float[Tensor, " some"]]
"""Of log-probabilities of the next token, and of the ids that are there."""


@torch.inference_mode()
def of_tokens(
    loaded: LoadedModel,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    measure: Measure,
    tokens_per_batch: int = 16384,
) -> list[Float[np.ndarray, " _"]]:
    """A measure of every written token under the model as it is.

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
                found[row] = to_numpy(_measured(run, number, ids[number], asked, measure))
    return found


def _measured(
    run: Run, row: int, ids: Int[Tensor, " pos"], positions: Int[Tensor, " some"], measure: Measure
) -> Float[Tensor, " some"]:
    """Of the token that stands behind each of these positions of a row."""
    parts = [
        measure(run.log_probabilities(torch.full_like(some, row), some), ids[some + 1])
        for some in run.pieces(positions)
    ]
    return torch.cat(parts)


def nll(log_p: Float[Tensor, "some d_vocab"], ids: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
    """-log p of the tokens, in nats."""
    return -log_p.gather(1, ids[:, None])[:, 0]


def gap(log_p: Float[Tensor, "some d_vocab"], ids: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
    """How much less probable they are than the most probable one, in nats: 0 or more."""
    return log_p.amax(dim=1) + nll(log_p, ids)


def surprise(
    log_p: Float[Tensor, "some d_vocab"], ids: Int[Tensor, " some"], temperature: float
) -> Float[Tensor, " some"]:
    """-log p minus its expectation, at a temperature, in nats.

    Its mean is 0 of tokens that were drawn from the model, below it of such as were drawn from its
    more probable ones (top-k, top-p), and above it of another model's.
    """
    drawn_from = (log_p / temperature).log_softmax(dim=1)
    return nll(drawn_from, ids) + (drawn_from.exp() * drawn_from).sum(dim=1)
