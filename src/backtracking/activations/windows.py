"""Activations around sentences, read from a store."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.records.moments import Moments


def read_windows(
    store: ActivationStore, layer: int, moments: Moments, window: tuple[int, int]
) -> tuple[Float[Tensor, "n offsets d_model"], Bool[Tensor, "n offsets"], Int[Tensor, " offsets"]]:
    """Activations around each sentence's first token, and which of them the trace has.

    Args:
        store: the model's activations.
        layer: layer of `resid_post`.
        moments: the sentences.
        window: first and last offset, both included.
    """
    offsets = np.arange(window[0], window[1] + 1)
    position = (moments.start[:, None] + offsets).ravel()
    trace = np.repeat(moments.trace, len(offsets))
    present = store.has(trace, position)
    values = torch.zeros(len(trace), store.d_model)
    values[torch.from_numpy(present)] = store.gather(
        layer, trace[present], position[present]
    ).float()
    shape = (len(moments), len(offsets))
    return (
        values.view(*shape, -1),
        torch.from_numpy(present).view(shape),
        torch.from_numpy(offsets),
    )
