"""Is what a model writes still its own language: how probable, and how repetitive, is it?"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from backtracking.domains.organism.states import Reading

NGRAM = 8
"""Length of a repeated stretch: longer than a sentence of the organism's that recurs by right."""


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
