"""Rows of different lengths in one call of a model, padded on the right.

No position of a causal model sees what stands to its right, so the padding needs no mask.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from backtracking.models import kv_cache
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


def log_probabilities(
    loaded: LoadedModel, ids: Int[Tensor, "rows pos"], past: DynamicCache | None = None
) -> Float[Tensor, "rows pos d_vocab"]:
    """Of the next token at every position, in float32.

    Args:
        loaded: the model.
        ids: token ids.
        past: keys and values of one row, which stands before all of them; it is not changed.
    """
    ids = ids.to(loaded.device)
    if past is None:
        logits = loaded.model(input_ids=ids, use_cache=False).logits
    else:
        rows = kv_cache.repeated(kv_cache.before(loaded, past, ids.shape[1]), len(ids))
        logits = loaded.model(input_ids=ids, past_key_values=rows, use_cache=True).logits
    return logits.float().log_softmax(dim=-1)


def to_numpy(values: Tensor) -> np.ndarray:
    """Numbers in float64, on the CPU."""
    return values.double().cpu().numpy()
