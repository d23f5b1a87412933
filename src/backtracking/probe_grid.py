"""The grid of probes: every model, layer and offset, beside baselines and the exact posterior.

Fitting and choosing read train and dev problems; test problems are read by `measure` alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from backtracking.extraction.reader import ActivationStore
from backtracking.moments import Moments, read_windows
from backtracking.probes import Fitting, Probes, Task, fit_probes

BATCH_BYTES = 2**27
"""Size of the features that are held at once, in float64."""


@dataclass(frozen=True)
class Anchor:
    """What offsets are counted from, at every decision.

    Attributes:
        name: `comparison`, its first token; or `known`, t*, from which on P(dead | prefix) is 0 or
            1.
        position: the token at offset 0, by decision.
        offsets: offsets of the grid.
        present: whether the decision has a token there that counts.
        last: last offset that does not lie behind every decision.
        p_positive: the exact posterior of each target there, by target; NaN where it is not known.
    """

    name: str
    position: Int[np.ndarray, " n"]
    offsets: Int[np.ndarray, " offsets"]
    present: Bool[np.ndarray, "offsets n"]
    last: int
    p_positive: Mapping[str, Float[np.ndarray, "offsets n"]]


@dataclass(frozen=True)
class Place:
    """Which probes of the grid: those of one model and layer, at all offsets of an anchor."""

    role: str
    layer: int
    anchor: str
    target: str


def batches(
    store: ActivationStore, layer: int, decisions: Moments, anchor: Anchor, rows: np.ndarray
) -> Iterator[tuple[slice, Float[Tensor, "cells rows d_model"], Bool[np.ndarray, "cells rows"]]]:
    """Activations of the chosen decisions at a few consecutive offsets at a time.

    The number of offsets is such that memory is bounded whatever the width and the grid.
    """
    moved = replace(decisions[rows], start=anchor.position[rows])
    step = max(1, BATCH_BYTES // (8 * max(1, len(rows)) * store.d_model))
    for first in range(0, len(anchor.offsets), step):
        chosen = slice(first, first + step)
        window = (int(anchor.offsets[chosen][0]), int(anchor.offsets[chosen][-1]))
        values, present, _ = read_windows(store, layer, moved, window)
        yield chosen, values.transpose(0, 1).contiguous(), present.T.numpy() & anchor.present[chosen][:, rows]
