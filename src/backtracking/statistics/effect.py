"""An effect beside its nulls, at positions where the model still writes what may stand there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from backtracking.records.intervals import Bar, Interval, Verdict, above, all_of
from backtracking.statistics.nulls import random_bound, random_direction_p

MIN_LEGAL = 0.9
"""Least mean P(a word that may stand there) with which an effect at steered positions is a test."""

FLOOR = 0.05
"""Least effect on a probability that a claim may rest on: a null is beaten by less where what is to
be caused is rare."""

Resampled = Literal["test problems", "test and train problems"]
"""What an interval resamples; of test problems alone, it is conditional on the direction."""


Flaw = Literal["", "openers", "kinds"]
"""Openers that cover too little of backtracking; kinds that are not what a reader finds."""

FLAWED: Mapping[str, Verdict] = {"openers": "no test", "kinds": "untestable"}
"""The verdict on what rests on a flaw."""


def is_legal(legal: float | None) -> bool:
    """Whether an arm left enough probability on what may stand there; so if nobody measured it."""
    return legal is None or legal >= MIN_LEGAL


@dataclass(frozen=True)
class Effect:
    """A paired effect with its nulls: the same displacement along other directions.

    Attributes:
        interval: the effect with its interval.
        nulls: effects of each null's directions, by its name; without any, nothing can be told.
        sign: +1 where the claim is that it is large, -1 where it is that it is very negative.
        legal: mean P(a word that may stand there) at the steered positions; None if not measured.
        resampled: by the interval.
        beside: effects of nulls that are told and need not be beaten.
        flaw: why what was read tells nothing of what is claimed.
    """

    interval: Interval
    nulls: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    sign: int = 1
    legal: float | None = None
    resampled: Resampled = "test problems"
    beside: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    flaw: Flaw = ""

    @property
    def bars(self) -> dict[str, Bar]:
        """The bound of every null that is to be beaten, and p among its directions."""
        return self._bars(self.nulls)

    @property
    def all_bars(self) -> dict[str, Bar]:
        """The same of every null."""
        return self.bars | self._bars(self.beside)

    def _bars(self, nulls: Mapping[str, tuple[float, ...]]) -> dict[str, Bar]:
        value, found = self.interval.value, {}
        for name, effects in nulls.items():
            if effects and value is not None:
                drawn = np.array(effects)
                bound = float(random_bound(drawn, self.sign))
                p = random_direction_p(self.sign * value, self.sign * drawn)
                found[name] = Bar(len(effects), bound, p)
        return found

    @property
    def bound(self) -> float | None:
        """The bound that is hardest to pass."""
        bounds = (bar.bound for bar in self.bars.values())
        return max(bounds, key=lambda one: self.sign * one, default=None)

    @property
    def p(self) -> float | None:
        """The largest p: all nulls are to be beaten."""
        return max((bar.p for bar in self.bars.values()), default=None)

    @property
    def parts(self) -> dict[str, Verdict]:
        """Whether the effect is off 0, and beyond 95 % of each null's directions."""
        low, high, value = self.interval.low, self.interval.high, self.interval.value
        if not is_legal(self.legal):
            return {"legal": "no test"}
        if self.flaw:
            return {self.flaw: FLAWED[self.flaw]}
        if value is None or not self.bars:
            return {"measured": "untestable"}
        ends = (low, high) if self.sign > 0 else (-high if high is not None else None, low)
        parts: dict[str, Verdict] = {"off_0": above(ends[0], 0.0)}
        for name, bar in self.bars.items():
            beyond = self.sign * (value - bar.bound) > 0
            parts[f"beyond_{name}"] = "holds" if beyond else "fails"
        return parts

    @property
    def verdict(self) -> Verdict:
        """Whether all of that is so; `no test` where the model is broken there."""
        return all_of([*self.parts.values()])

    @property
    def is_large(self) -> Verdict:
        """Whether the effect reaches the floor in the claimed sign."""
        if self.flaw or not is_legal(self.legal):
            return FLAWED.get(self.flaw, "no test")
        value = self.interval.value
        return above(None if value is None else self.sign * value, FLOOR - 1e-12)
