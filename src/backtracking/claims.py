"""Verdicts by code: what has to be true for a claim to hold, and whether it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from backtracking.statistics import Interval, random_bound, random_direction_p

Verdict = Literal["holds", "fails", "untestable"]


@dataclass(frozen=True)
class Effect:
    """A paired effect with its null: the same dose along random directions.

    Attributes:
        interval: the effect with its interval by problem.
        random: the effects of the random directions.
        sign: +1 where the claim is that it is large, -1 where it is that it is very negative.
    """

    interval: Interval
    random: tuple[float, ...]
    sign: int = 1

    @property
    def bound(self) -> float:
        """What 95 % of the random effects stay below (above, where the sign is -1)."""
        return float(random_bound(np.array(self.random), self.sign))

    @property
    def p(self) -> float:
        """p of an effect as large as this along a random direction."""
        value = self.interval.value
        assert value is not None
        return random_direction_p(self.sign * value, self.sign * np.array(self.random))

    def exceeds_random(self) -> Verdict:
        """Whether the interval is off 0 and the value beyond the bound."""
        low, high, value = self.interval.low, self.interval.high, self.interval.value
        if value is None or low is None or high is None:
            return "untestable"
        off_zero = low > 0 if self.sign > 0 else high < 0
        return "holds" if off_zero and self.sign * (value - self.bound) > 0 else "fails"


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


def all_of(parts: Sequence[Verdict]) -> Verdict:
    """Fails where any part fails; untestable where any part is; else holds."""
    if "fails" in parts:
        return "fails"
    return "untestable" if "untestable" in parts else "holds"


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
