"""Verdicts by code: what has to be true for a claim to hold, and whether it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backtracking.statistics.bootstrap import Interval
from backtracking.statistics.effect import Effect, Verdict, all_of


@dataclass(frozen=True)
class Steered:
    """What one direction does to one target at one dose, in both signs.

    Attributes:
        target, direction: roles of the models.
        contrast: P(backtrack | over) - P(backtrack | alive) without steering, what is to be caused.
        raises: effect of adding the direction on P(backtrack | alive).
        lowers: effect of subtracting it on P(backtrack | over).
    """

    target: str
    direction: str
    contrast: Interval
    raises: Effect
    lowers: Effect


def judge_causal(steered: Steered, name: str = "causal") -> dict[str, Any]:
    """The claim that a direction carries what the target backtracks on.

    It holds where the target tells dead ends from live points at all, where adding the direction
    makes it backtrack at live ones and where subtracting it stops it at dead ones, either more than
    95 % of random directions do.
    """
    low = steered.contrast.low
    tells: Verdict = "untestable" if low is None else "holds" if low > 0 else "fails"
    parts: list[Verdict] = [tells, steered.raises.exceeds_random(), steered.lowers.exceeds_random()]
    return _row(
        claim=name,
        pair=f"{steered.direction} -> {steered.target}",
        contrast="P(backtrack | alive) steered - baseline; and P(backtrack | over) with minus sign",
        threshold="contrast > 0; both effects off 0 and beyond 95 % of random directions",
        effect=steered.raises,
        verdict=all_of(parts),
        kind="emergent",
        parts={"tells_dead_from_alive": parts[0], "raises": parts[1], "lowers": parts[2]},
    )


def judge_primary(
    steered: Steered,
    excess_by_control: Mapping[str, Interval],
    excess_by_other_base: Mapping[str, Interval],
) -> dict[str, Any]:
    """The primary endpoint: the base's direction steers the reasoning model, and only there.

    Args:
        steered: the base's direction in the reasoning model.
        excess_by_control: its effect minus the same effect in each control pair.
        excess_by_other_base: its effect minus that of each other base's direction; may be empty
            where the study has no other base, which is then said in the row.
    """
    parts: dict[str, Verdict] = {"beyond_random": steered.raises.exceeds_random()}
    for kind, excesses in (("control", excess_by_control), ("base", excess_by_other_base)):
        for name, excess in excesses.items():
            low = excess.low
            parts[f"beyond_{kind}_{name}"] = (
                "untestable" if low is None else "holds" if low > 0 else "fails"
            )
    if not excess_by_control:
        parts["beyond_controls"] = "untestable"
    bases = f"{len(excess_by_other_base)} other bases"
    return _row(
        claim="primary",
        pair=f"{steered.direction} -> {steered.target}",
        contrast="P(backtrack | alive), teacher-forced, decision, dose 1: steered - baseline",
        threshold=f"beyond 95 % of random directions, every control pair and {bases}",
        effect=steered.raises,
        verdict=all_of(list(parts.values())),
        kind="emergent",
        parts=parts,
    )


def _row(
    *,
    claim: str,
    pair: str,
    contrast: str,
    threshold: str,
    effect: Effect,
    verdict: Verdict,
    kind: str,
    parts: Mapping[str, Verdict],
) -> dict[str, Any]:
    interval = effect.interval
    return {
        "claim": claim,
        "pair": pair,
        "contrast": contrast,
        "threshold": threshold,
        "estimate": interval.value,
        "low": interval.low,
        "high": interval.high,
        "null": effect.bound,
        "p": effect.p if interval.value is not None else None,
        "n": interval.n,
        "verdict": verdict,
        "kind": kind,
        "parts": dict(parts),
    }
