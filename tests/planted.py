"""Traces from planted models, for all tests of the state models."""

from typing import Any

import numpy as np

from backtracking.transitions.sequences import Sequences, make_sequences
from benchmarks.planted_models import Size, plant


def drawn(planted: str, n_problems: int = 60, seed: int = 0) -> tuple[Any, Sequences]:
    """A planted model and two traces of each problem."""
    return plant(planted, Size(n_problems, 2, 60), np.random.default_rng(seed))


def from_labels(
    labels: list[list[int]], n_labels: int = 4, ended: list[bool] | None = None
) -> Sequences:
    """Traces of given labels, each a problem of its own, with two coordinates of noise as x."""
    rng = np.random.default_rng(0)
    return make_sequences(
        [np.array(one) for one in labels],
        [rng.standard_normal((len(one), 2)) for one in labels],
        [f"p{n:03d}" for n in range(len(labels))],
        [True] * len(labels) if ended is None else ended,
        n_labels,
    )
