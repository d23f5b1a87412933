"""Whether a server wrote what our own model would have: a sample of its rows, read again.

A wrong template, another dtype, a quantised copy, a sampler that cuts rare tokens: each writes
fluent text, and none of it is text of the model under study.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from backtracking.models.loading import LoadedModel
from backtracking.models.scoring import gap, of_tokens, surprise
from lifeboat.stage.errors import UserError

SHARE = 0.99
"""Of the tokens that have to be as probable as they should; the others may be near ties."""

N_ERRORS = 4.0
"""Standard errors by which a mean may be off before it counts."""

Row = tuple[Sequence[int], Sequence[int]]
"""Ids of a prompt, and ids of what was written behind it."""


@dataclass(frozen=True)
class ServedCheck:
    """What our forward pass says of what a server wrote.

    Attributes:
        n_greedy, n_sampled: tokens that were read again.
        gap: nats below our most probable token, at `SHARE` of the greedy tokens.
        surprise: mean of -log p minus the entropy, of the sampled ones, in nats; 0 where they were
            drawn from our model at the temperature that was asked for.
        surprise_error: its standard error.
        max_gap: the floor that both had to keep.
    """

    n_greedy: int
    n_sampled: int
    gap: float
    surprise: float
    surprise_error: float
    max_gap: float


def check_served(
    loaded: LoadedModel,
    greedy: Sequence[Row],
    sampled: Sequence[Row],
    temperature: float,
    max_gap: float,
) -> ServedCheck:
    """What our model says of rows that a server wrote.

    Args:
        loaded: our model.
        greedy: rows at temperature 0.
        sampled: rows at `temperature`.
        temperature: of the sampled ones.
        max_gap: see `served.Server`.

    Raises:
        UserError: where the server wrote what this model would not have.
    """
    gaps = np.concatenate([np.zeros(0), *of_tokens(loaded, *_apart(greedy), gap)])
    drawn = of_tokens(loaded, *_apart(sampled), partial(surprise, temperature=temperature))
    surprises = np.concatenate([np.zeros(0), *drawn])
    found = ServedCheck(
        n_greedy=len(gaps),
        n_sampled=len(surprises),
        gap=float(np.quantile(gaps, SHARE)) if len(gaps) else 0.0,
        surprise=float(surprises.mean()) if len(surprises) else 0.0,
        surprise_error=float(surprises.std() / np.sqrt(len(surprises))) if len(surprises) else 0.0,
        max_gap=max_gap,
    )
    _require(found)
    return found


def _require(found: ServedCheck) -> None:
    if found.gap > found.max_gap:
        raise UserError(
            f"The server does not write as this model does: of {found.n_greedy} tokens that it "
            f"wrote greedily one in a hundred is {found.gap:.3f} nats or more below our most "
            f"probable one, and {found.max_gap:g} is accepted. Nothing was published.",
            "It runs other weights, another dtype, a quantised copy, or puts a template around the "
            "prompt. Serve the folder of `models.studied`, or raise `traces.server.max_gap`.",
        )
    off = abs(found.surprise)
    if off > max(found.max_gap, N_ERRORS * found.surprise_error):
        raise UserError(
            "The server does not draw from this model's probabilities: its tokens are "
            f"{off:.3f} nats {'less' if found.surprise > 0 else 'more'} probable than tokens drawn "
            f"at that temperature are, and {found.max_gap:g} is accepted. Nothing was published.",
            "Its defaults cut rare tokens (top_k, top_p, min_p) or penalise repeated ones: switch "
            "them off by `traces.server.more`, as docs/overlays.md has it.",
        )


def _apart(rows: Sequence[Row]) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    return [prompt for prompt, _ in rows], [written for _, written in rows]
