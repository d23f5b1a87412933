"""Cosines of directions: of a pair of models, of two layers, of two forms; corrected for noise."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np
import torch

from backtracking.directions.estimates import Estimated
from backtracking.records.intervals import Interval
from backtracking.records.places import Place
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


def compare_pairs(estimated: Compared, base_by_role: Mapping[str, str]) -> list[dict[str, Any]]:
    """Cosine of each pair's two directions, by form, window and layer."""
    found = []
    for place, one in estimated.items():
        base = base_by_role.get(place.role)
        other = estimated.get(place._replace(role=base)) if base else None
        if other is not None:
            row = place.row() | {"pair": f"{base}-{place.role}"}
            del row["role"]
            found.append(row | compare(other, one))
    return found


def compare_layers(estimated: Compared) -> list[dict[str, Any]]:
    """Cosine of a model's matched directions at every two layers."""
    found = []
    for first, second in combinations(estimated, 2):
        if first.form == "matched" and first._replace(layer=second.layer) == second:
            row = {"role": first.role, "window": first.row()["window"], "layer": first.layer}
            row |= {"other_layer": second.layer}
            found.append(row | compare(estimated[first], estimated[second]))
    return found


def compare_all_forms(estimated: Compared) -> list[dict[str, Any]]:
    """Cosine of two forms in one model at a layer, at the same window where both have it.

    Of `stable` and `matched`, also how much nearer `stable` is to `matched` than `keyword` is.
    """
    found = []
    for place, one in estimated.items():
        for other, truth in estimated.items():
            if (place.form, other.form) not in COMPARED or _model(place) != _model(other):
                continue
            if place.window != other.window and place.form not in ("ward", "venhoff"):
                continue
            row = place.row() | {"other_form": other.form, "other_window": other.row()["window"]}
            row |= compare(one, truth)
            if (place.form, other.form) == ("stable", "matched"):
                row |= compare_forms(one, estimated[place._replace(form="keyword")], truth)
            found.append(row)
    return found


def compare(first: Estimated, second: Estimated) -> dict[str, Any]:
    """Noise-corrected cosine of two directions with its interval, and what shuffled labels give.

    Of shuffled labels there are two nulls. 95 % of the corrected cosines lie between `null_low` and
    `null_high`: the numerator under labels that are shuffled alike for both directions, over the
    denominator of the true ones (their own reliability is 0, which would leave it undefined). That
    is the null of labels that mean nothing; two orthogonal directions whose effects vary between
    problems lie outside of it more often than in 5 %, so whether a cosine is 0 is told by its own
    interval. `null_raw` is the mean of the raw cosine of shuffled labels: what two directions share
    because their rows do.
    """
    cosine = corrected.noise_corrected_cosine(first.halves, second.halves)
    raw = float(torch.cosine_similarity(first.direction, second.direction, dim=0))
    interval = Interval(cosine, None, None, first.n_problems)
    if cosine is not None and first.left_out is not None and second.left_out is not None:
        left_out = corrected.noise_corrected_cosines(first.left_out, second.left_out)
        interval = jackknife_interval(cosine, left_out, LEVEL)
    row = {"cosine": cosine, "low": interval.low, "high": interval.high, "n": interval.n}
    return row | {"raw": raw} | _compare_nulls(first, second, cosine)


def compare_forms(
    first: Estimated, second: Estimated, truth: Estimated
) -> dict[str, float | int | None]:
    """How much nearer the first direction is to a third than the second is, paired by problem."""
    pairs = ((one.halves, truth.halves) for one in (first, second))
    found = [corrected.noise_corrected_cosine(*pair) for pair in pairs]
    difference = None if None in found else float(np.subtract(*found))  # type: ignore[arg-type]
    interval = Interval(difference, None, None, truth.n_problems)
    if not any(one.left_out is None for one in (first, second, truth)):
        left_out = [
            corrected.noise_corrected_cosines(one.left_out, truth.left_out)  # type: ignore[arg-type]
            for one in (first, second)
        ]
        interval = jackknife_interval(difference, left_out[0] - left_out[1], LEVEL)
    return {f"nearer_{key}": value for key, value in asdict(interval).items()}


def _model(place: Place) -> tuple[str, int | None]:
    return place.role, place.layer


def _compare_nulls(first: Estimated, second: Estimated, cosine: float | None) -> dict[str, Any]:
    if cosine is None or first.null is None or second.null is None:
        return dict.fromkeys(("null_low", "null_high", "null_raw"))
    (vectors, halves), (other_vectors, other_halves) = first.null, second.null
    across = np.einsum("nshd,nshd->n", halves, other_halves[:, :, ::-1]) / (2 * halves.shape[1])
    norms = (corrected.noise_corrected_norms(one.halves[None]) for one in (first, second))
    null = np.nan_to_num(across / np.prod(list(norms)))
    low, high = np.quantile(null, [0.025, 0.975])
    dots = (vectors * other_vectors).sum(axis=1)
    raw = dots / np.linalg.norm(vectors, axis=1) / np.linalg.norm(other_vectors, axis=1)
    return {
        "null_low": float(low),
        "null_high": float(high),
        "null_raw": float(raw.mean()),
    }
