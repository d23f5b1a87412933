"""Does a direction still steer once the markers' unembedding rows are taken out of it?

If it only wrote "Wait" into the stream, nothing would be left of its effect; if it says something
that later blocks act upon, taking the word out costs little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtracking.directions import lens
from backtracking.effects.rates import BASELINE, Label, Measured, effect_of, excess
from backtracking.models.forced import Arm, Prefix, teacher_force
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect, Verdict

WITHOUT = " without markers"
"""What the name of a projected direction ends in."""


@dataclass(frozen=True)
class Read:
    """The prefixes that every arm reads.

    Attributes:
        prefixes: token ids with their decisions.
        problems: of each prefix.
        kind, problem: of each decision, in the order of the prefixes.
    """

    prefixes: Sequence[Prefix]
    problems: Sequence[str]
    kind: np.ndarray
    problem: np.ndarray


def variants(
    loaded: LoadedModel, vector_by_name: Mapping[str, Tensor], marker_ids: Sequence[int]
) -> dict[str, Tensor]:
    """Unit vectors: each direction, and beside it the same without this model's marker rows.

    Zeros stand for a direction of which nothing is left.
    """
    gain, w_u = final_norm_gain(loaded), unembedding(loaded)
    found: dict[str, Tensor] = {}
    for name, vector in vector_by_name.items():
        (projected,) = lens.without_markers(vector[None].to(w_u.device), w_u, gain, marker_ids)
        found[name] = _unit(vector)
        is_left = projected.norm() > 1e-6 * vector.norm()
        found[name + WITHOUT] = _unit(projected) if is_left else torch.zeros_like(vector)
    return found


def measure(
    target: str,
    loaded: LoadedModel,
    layer: int,
    norm: float,
    read: Read,
    unit_by_name: Mapping[str, Tensor],
    marked_ids: Sequence[int],
    rows_per_batch: int,
) -> Measured:
    """Every direction at dose 1, at decisions, teacher-forced, the baseline first.

    Args:
        target: role of the model.
        loaded: the model that reads.
        layer: where the vectors are added.
        norm: of every added vector.
        read: what is read.
        unit_by_name: unit vectors.
        marked_ids: tokens that open backtracking.
        rows_per_batch: prefixes times arms in one call of the model.
    """
    labels = [BASELINE, *(Label(name, 1.0, "decision") for name in unit_by_name)]
    vectors = [torch.zeros(loaded.d_model), *(norm * unit for unit in unit_by_name.values())]
    arms = [Arm(vector, "decision") for vector in vectors]
    forced = teacher_force(loaded, layer, read.prefixes, arms, marked_ids, rows_per_batch)
    return Measured(target, labels, forced, read.kind, read.problem, read.problems)


def compare(
    measured: Measured,
    cosine_by_name: Mapping[str, float],
    random: tuple[float, ...],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """For each direction at live decisions: both effects, their paired difference, and the null.

    `retained` is the projected direction's effect as a share of the original's, where that one's
    interval is above 0.

    Args:
        measured: each direction and its projection.
        cosine_by_name: of each direction with its projection.
        random: effects of random directions of the same norm, at the same decisions.
        bootstrap: resamples and level.
    """
    rows = []
    for name, cosine in cosine_by_name.items():
        original, projected = (Label(n, 1.0, "decision") for n in (name, name + WITHOUT))
        effects = [
            effect_of(measured, one, "alive", bootstrap, random) for one in (original, projected)
        ]
        difference = excess((measured, projected), (measured, original), "alive", bootstrap)
        rows.append(
            {"target": measured.target, "direction": name, "cosine": cosine}
            | {"original": asdict(effects[0].interval), "projected": asdict(effects[1].interval)}
            | {"difference": asdict(difference)}
            | {"retained": _retained(measured, original, projected, effects[0], bootstrap)}
            | {"random95": effects[0].bound, "n_random": len(random)}
            | {"p_original": effects[0].p, "p_projected": effects[1].p}
        )
    return rows


def judge(
    measured: Measured, direction: str, random: tuple[float, ...], bootstrap: Bootstrap
) -> dict[str, Any]:
    """The claim that a direction steers by more than its markers' rows.

    Untestable where neither it nor the rest of it steers: then there is nothing to keep.
    """
    labels = [Label(name, 1.0, "decision") for name in (direction, direction + WITHOUT)]
    whole, projected = (effect_of(measured, label, "alive", bootstrap, random) for label in labels)
    parts: dict[str, Verdict] = {
        "whole_steers": whole.exceeds_random(),
        "projected_steers": projected.exceeds_random(),
    }
    verdict = parts["projected_steers"] if "holds" in parts.values() else "untestable"
    interval = projected.interval
    return {
        "claim": "steers_without_markers",
        "pair": f"{direction} -> {measured.target}",
        "contrast": "P(backtrack | alive) steered along the direction without the markers' rows, "
        "rescaled to dose 1, - baseline",
        "threshold": "off 0 and beyond 95 % of random directions; untestable where the whole "
        "direction is not either",
        "estimate": interval.value,
        "low": interval.low,
        "high": interval.high,
        "null": projected.bound,
        "p": projected.p,
        "n": interval.n,
        "verdict": verdict,
        "kind": "emergent",
        "parts": parts,
        "must_fail": False,
    }


def _retained(
    measured: Measured, original: Label, projected: Label, effect: Effect, bootstrap: Bootstrap
) -> dict[str, Any] | None:
    if effect.interval.low is None or effect.interval.low <= 0:
        return None
    baseline = measured.p(BASELINE, "alive")
    both = np.stack([measured.p(one, "alive") - baseline for one in (original, projected)], axis=1)
    problems = list(measured.problem[measured.kind == "alive"])
    (share,) = bootstrap.intervals(both, problems, lambda means: means[:, 1:] / means[:, :1])
    return asdict(share)


def _unit(vector: Tensor) -> Tensor:
    return (vector.double() / vector.double().norm()).float()
