"""Layer and window of the intervention, chosen on dev problems by means alone."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from backtracking.interventions.plan import Read, Words
from backtracking.models.forced import Arm, teacher_force
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice, Scored
from backtracking.records.places import Window


def score_place(
    loaded: LoadedModel,
    layer: int,
    window: Window,
    read: Read,
    is_live: Bool[np.ndarray, " decisions"],
    base: Float[Tensor, " d_model"],
    own: Float[Tensor, " d_model"],
    randoms: Sequence[Float[Tensor, " d_model"]],
    words: Words,
    rows_per_batch: int,
) -> Scored:
    """What the base's direction at one place does to the model, on dev.

    Args:
        loaded: the model that reads.
        layer, window: the place.
        read: prefixes of dev problems.
        is_live: which decisions are of the negative class, where the effect is read.
        base: the base's direction.
        own: the model's own; its norm is that of all vectors.
        randoms: the null.
        words: whose probabilities are read.
        rows_per_batch: prefixes times arms in one call of the model.
    """
    norm = float(own.norm())
    vectors = [norm * vector / vector.norm() for vector in (base, own, *randoms)]
    arms = [Arm(one, "decision") for one in (torch.zeros_like(own), *vectors)]
    found = teacher_force(loaded, layer, read.prefixes, arms, words.opener_ids, rows_per_batch)
    live = found.p_marked[:, is_live]
    effects = live.mean(axis=1) - live[0].mean() if live.size else np.zeros(len(arms))
    is_known = not np.isnan(found.agreement[1]).all()
    return Scored(
        layer=layer,
        window=window,
        norm=norm,
        effect=float(effects[1]),
        effect_own=float(effects[2]),
        excess=float(effects[1] - effects[3:].mean()),
        agreement=float(np.nanmean(found.agreement[1])) if is_known else 1.0,
    )


def choose(model: str, base: str, min_agreement: float, grid: Sequence[Scored]) -> Choice:
    """The usable place with the largest excess on dev; of all, where none is usable.

    Args:
        model, base: roles of the pair.
        min_agreement: of other predictions, for a place to be usable.
        grid: all places.
    """
    usable = [one for one in grid if one.agreement >= min_agreement]
    best = max(usable or grid, key=lambda one: one.excess)
    return Choice(model, base, best.layer, best.window, best.norm, tuple(grid))
