"""The one quantity that all state models are compared on, and its paired intervals.

NLL = -(1/N) sum log p(s_{t+1} | s_{1:t}, x_{1:t}): labels and END, one sentence ahead, in nats.
A model that reads no activation is scored on the same sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.statistics.bootstrap import Bootstrap
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


def compare(
    loss_by_model: Mapping[str, Float[np.ndarray, " rows"]],
    problem: Shaped[np.ndarray, " rows"],
    reference: str,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """One row per model: NLL, and its paired difference to the reference model's.

    Args:
        loss_by_model: losses on the same sentences.
        problem: the problem of each sentence, the unit of the bootstrap.
        reference: the model that is subtracted.
        bootstrap: intervals by problem.
    """
    names = list(loss_by_model)
    values = np.stack([loss_by_model[name] for name in names], axis=1)
    gaps = values - loss_by_model[reference][:, None]
    found = bootstrap.intervals(np.concatenate([values, gaps], axis=1), list(problem))
    return [
        {"model": name, "nll": own.value, "low": own.low, "high": own.high, "n": own.n}
        | {f"difference_{key}": value for key, value in asdict(gap).items() if key != "n"}
        for name, own, gap in zip(names, found[: len(names)], found[len(names) :], strict=True)
    ]


def best(nll_by_choice: Mapping[Any, float]) -> Any:
    """The choice with the lowest NLL; the first of equals."""
    return min(nll_by_choice, key=lambda choice: nll_by_choice[choice])


def is_better(
    first: Float[np.ndarray, " rows"],
    second: Float[np.ndarray, " rows"],
    problem: Sequence[str] | Shaped[np.ndarray, " rows"],
    bootstrap: Bootstrap,
) -> bool:
    """Whether the first model's losses are lower, the interval of the difference below 0."""
    high = bootstrap.intervals(first - second, list(problem))[0].high
    return high is not None and high < 0
