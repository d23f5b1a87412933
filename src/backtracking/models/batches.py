"""Rows of different lengths in one call of a model, padded on the right.

No position of a causal model sees what stands to its right, so the padding needs no mask.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.models.loading import LoadedModel

IN_CACHE = 1 << 18
"""Values that a processor works on at a time: what is done to them in several passes stays in its
cache, which is 3 to 5 times as fast. A GPU takes all at once."""


def pad(rows: Sequence[Tensor]) -> Tensor:
    """The rows as one tensor, zeros after the end of each."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def groups(loaded: LoadedModel, lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Numbers of rows, `size` at a time, of one formula and of like length to pad little."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    for _, run in groupby(order, key=lambda number: loaded.lengths.formula(lengths[number])):
        some = list(run)
        for start in range(0, len(some), size):
            yield some[start : start + size]


def to_numpy(values: Tensor) -> np.ndarray:
    """Numbers in float64, on the CPU."""
    return values.double().cpu().numpy()


def rows_at_once(values: Float[Tensor, "rows d_vocab"], n_values: int = IN_CACHE) -> int:
    """How many rows are worked on at a time."""
    at_once = max(1, n_values // values.shape[1])
    return at_once if values.device.type == "cpu" else max(1, len(values))


def log_softmax(logits: Float[Tensor, "rows d_vocab"]) -> Float[Tensor, "rows d_vocab"]:
    """Log-probabilities in float32, a few rows at a time."""
    parts = (some.float().log_softmax(dim=-1) for some in logits.split(rows_at_once(logits)))
    return torch.cat(list(parts))
