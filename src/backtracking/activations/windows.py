"""Activations around decisions and sentences, read from a store."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.places import Window


def read_windows(
    store: ActivationStore, layer: int, rows: Decisions | Sentences, window: Window
) -> tuple[Float[Tensor, "n offsets d_model"], Bool[Tensor, "n offsets"], Int[Tensor, " offsets"]]:
    """Activations around each row, and which of them the trace has.

    Offsets count from a decision's deciding token, and from a sentence's first.

    Args:
        store: the model's activations.
        layer: layer of `resid_post`.
        rows: the decisions or sentences.
        window: first and last offset, both included.
    """
    anchor = rows.position if isinstance(rows, Decisions) else rows.start
    offsets = np.arange(window[0], window[1] + 1)
    position = (anchor[:, None] + offsets).ravel()
    trace = np.repeat(rows.trace, len(offsets))
    present = store.has(trace, position)
    values = torch.zeros(len(trace), store.d_model)
    values[torch.from_numpy(present)] = store.gather(
        layer, trace[present], position[present]
    ).float()
    shape = (len(rows), len(offsets))
    return (
        values.view(*shape, store.d_model),
        torch.from_numpy(present).view(shape),
        torch.from_numpy(offsets),
    )
