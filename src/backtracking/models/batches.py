"""Rows of different lengths in one call of a model, padded on the right.

No position of a causal model sees what stands to its right, so the padding needs no mask.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from backtracking.models.loading import LoadedModel


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
