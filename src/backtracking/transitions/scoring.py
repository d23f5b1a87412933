"""The one quantity that all state models are compared on.

NLL = -(1/N) sum log p(s_{t+1} | s_{1:t}, x_{1:t}): labels and END, one sentence ahead, in nats.
A model that reads no activation is scored on the same sum.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from backtracking.transitions.sequences import Sequences

LogProbabilities = Float[np.ndarray, "traces steps symbols"]
"""log p of the next symbol after every sentence."""


def losses(log_p: LogProbabilities, sequences: Sequences) -> Float[np.ndarray, " rows"]:
    """-log p of what did follow, of each scored sentence, in nats."""
    scored = sequences.scored
    return -log_p[scored, sequences.target[scored]]


def nll(log_p: LogProbabilities, sequences: Sequences) -> float:
    """The common quantity on these traces, in nats a sentence."""
    return float(losses(log_p, sequences).mean())


def cost(log_p: LogProbabilities, sequences: Sequences) -> float:
    """-log p of all that followed, in nats."""
    return float(losses(log_p, sequences).sum())


def best(nll_by_choice: Mapping[Any, float]) -> Any:
    """The choice with the lowest NLL; the first of equals."""
    return min(nll_by_choice, key=lambda choice: nll_by_choice[choice])
