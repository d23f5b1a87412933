"""Models on the same sentences: their NLL, and paired differences, with intervals by problem."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Shaped

from backtracking.records.rows.transitions import Compared
from backtracking.statistics.bootstrap import Bootstrap

K = TypeVar("K")


def compare(
    loss_by_model: Mapping[K, Float[np.ndarray, " rows"]],
    problem: Shaped[np.ndarray, " rows"],
    reference: K,
    bootstrap: Bootstrap,
) -> dict[K, Compared]:
    """By model: NLL, and its paired difference to the reference model's.

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
    return {
        name: Compared(own, gap)
        for name, own, gap in zip(names, found[: len(names)], found[len(names) :], strict=True)
    }
