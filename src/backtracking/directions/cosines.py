"""Cosines of directions: of a pair of models, of two forms; corrected for noise."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float

from backtracking.directions.estimates import Estimated
from backtracking.records.intervals import Interval
from backtracking.records.places import Place
from backtracking.records.rows.directions import FormCosine, Likeness, PairCosine
from backtracking.statistics import corrected
from backtracking.statistics.jackknife import jackknife_interval

LEVEL = 0.95
"""Nominal coverage of the intervals."""

COMPARED = (
    ("unmarked", "matched"), ("ward", "matched"), ("venhoff", "matched"), ("keyword", "matched"),
    ("stable", "matched"), ("stable", "keyword"),
)  # fmt: skip
"""Pairs of forms that are compared."""

Compared = Mapping[Place, Estimated]


def compare_pairs(estimated: Compared, base_by_role: Mapping[str, str]) -> list[PairCosine]:
    """Cosine of each pair's two directions, by form, window and layer."""
    found = []
    for place, one in estimated.items():
        base = base_by_role.get(place.role)
        other = estimated.get(place._replace(role=base)) if base else None
        if other is not None:
            where = (f"{base}-{place.role}", place.form, place.window_text, place.layer)
            found.append(PairCosine(*where, compare(other, one)))
    return found


def compare_all_forms(estimated: Compared) -> list[FormCosine]:
    """Cosine of two forms in one model at a layer, at the same window where both have it.

    Of `stable` and `matched`, also how much nearer `stable` is to `matched` than `keyword` is.
    """
    found = []
    for place, other in permutations(estimated, 2):
        if (place.form, other.form) not in COMPARED or _model(place) != _model(other):
            continue
        if place.window != other.window and place.form not in ("ward", "venhoff"):
            continue
        one, truth, nearer = estimated[place], estimated[other], None
        if (place.form, other.form) == ("stable", "matched"):
            nearer = compare_forms(one, estimated[place._replace(form="keyword")], truth)
        where = (place.role, place.form, place.window_text, place.layer)
        to = (other.form, other.window_text)
        found.append(FormCosine(*where, *to, compare(one, truth), nearer))
    return found


def compare(first: Estimated, second: Estimated) -> Likeness:
    """Noise-corrected cosine of two directions with its interval, and what shuffled labels give."""
    found = _interval(*_corrected(first, second), first.n_problems)
    raw = float(torch.cosine_similarity(first.direction, second.direction, dim=0))
    null = (None, None, None) if found.value is None else _compare_nulls(first, second)
    return Likeness(found.value, found.low, found.high, found.n, raw, *null)


def compare_forms(first: Estimated, second: Estimated, truth: Estimated) -> Interval:
    """How much nearer the first direction is to a third than the second is, paired by problem."""
    (cosine, left_out), (other, other_left_out) = (
        _corrected(one, truth) for one in (first, second)
    )
    difference = None
    if left_out is not None and other_left_out is not None:
        difference = left_out - other_left_out
    return _interval(cosine - other, difference, truth.n_problems)


def _corrected(
    first: Estimated, second: Estimated
) -> tuple[float, Float[np.ndarray, " problems"] | None]:
    """The corrected cosine, NaN where undefined, and the same without each problem."""
    cosines = corrected.noise_corrected_cosines
    value = float(cosines(first.halves[None], second.halves[None])[0])
    if first.left_out is None or second.left_out is None:
        return value, None
    return value, cosines(first.left_out, second.left_out)


def _interval(value: float, left_out: Float[np.ndarray, " problems"] | None, n: int) -> Interval:
    if left_out is None:
        return Interval(corrected.or_none(value), None, None, n)
    return jackknife_interval(value, left_out, LEVEL)


def _model(place: Place) -> tuple[str, int | None]:
    return place.role, place.layer


def _compare_nulls(
    first: Estimated, second: Estimated
) -> tuple[float, float, float] | tuple[None, None, None]:
    """`null_low`, `null_high` and `null_raw` of `Likeness`."""
    if first.null is None or second.null is None:
        return None, None, None
    (vectors, halves), (other_vectors, other_halves) = first.null, second.null
    across = np.einsum("nshd,nshd->n", halves, other_halves[:, :, ::-1]) / (2 * halves.shape[1])
    norms = (corrected.noise_corrected_norms(one.halves[None]) for one in (first, second))
    null = np.nan_to_num(across / np.prod(list(norms)))
    low, high = np.quantile(null, [0.025, 0.975])
    dots = (vectors * other_vectors).sum(axis=1)
    raw = dots / np.linalg.norm(vectors, axis=1) / np.linalg.norm(other_vectors, axis=1)
    return float(low), float(high), float(raw.mean())
