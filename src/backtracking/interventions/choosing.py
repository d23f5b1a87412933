"""Layer and window of the intervention, chosen on dev problems by means alone."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from backtracking.interventions.plan import Push, Read, Words
from backtracking.models.endpoints import read_endpoints
from backtracking.models.loading import LoadedModel
from backtracking.records.choices import Choice, Scored
from backtracking.records.places import Window


def score_place(
    loaded: LoadedModel,
    layer: int,
    window: Window,
    norm: float,
    read: Read,
    pushes: Sequence[Push],
    words: Words,
    edits_per_batch: int,
) -> Scored:
    """What the affine edit along the base's direction at one place does to the model, on dev.

    Args:
        loaded: the model that reads.
        layer, window: the place.
        norm: of the model's own direction there.
        read: prefixes of dev problems.
        pushes: the baseline, the edits along the base's and the model's own direction to the mean
            of the positive class, and the null of the first.
        words: whose probabilities are read.
        edits_per_batch: arms times decisions in one call of the model.
    """
    edits = [push.edit for push in pushes]
    is_live = np.array(read.claimed) == 1
    asked = np.tile(is_live, (len(edits), 1))
    found = read_endpoints(
        loaded, layer, read.prefixes, edits, words.counted, edits_per_batch, asked
    )
    p = found.p_back if words.counted.is_exact else found.p_open
    effects = _means(p - p[0], is_live)
    legal = found.p_legal[1, is_live]
    return Scored(
        layer=layer,
        window=window,
        norm=norm,
        effect=float(effects[1]),
        effect_own=float(effects[2]),
        excess=float(effects[1] - effects[3:].mean()),
        legal=None if np.isnan(legal).all() else float(np.nanmean(legal)),
    )


def choose(model: str, base: str, min_legal: float, grid: Sequence[Scored]) -> Choice:
    """The usable place with the largest excess on dev; of all, where none is usable.

    Where no direction could be estimated there is no grid, and the place is the first, at norm 0.

    Args:
        model, base: roles of the pair.
        min_legal: mass on tokens that may stand at a decision, for a place to be usable; where that
            mass is not known, every place is.
        grid: all places.
    """
    if not grid:
        return Choice(model, base, 0, (0, 0), 0.0)
    usable = [one for one in grid if one.legal is None or one.legal >= min_legal]
    best = max(usable or grid, key=lambda one: one.excess)
    return Choice(model, base, best.layer, best.window, best.norm, tuple(grid))


def _means(
    values: Float[np.ndarray, "arms decisions"], chosen: Bool[np.ndarray, " decisions"]
) -> Float[np.ndarray, " arms"]:
    """Mean of each arm over some decisions; 0 without any."""
    return values[:, chosen].mean(axis=1) if chosen.any() else np.zeros(len(values))
