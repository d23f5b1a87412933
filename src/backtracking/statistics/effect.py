"""An effect beside what random directions do, and verdicts made of parts."""

from dataclasses import dataclass

import numpy as np

from backtracking.records.intervals import Interval, Verdict
from backtracking.statistics.nulls import random_bound, random_direction_p


@dataclass(frozen=True)
class Effect:
    """A paired effect with its null: the same dose along random directions.

    Attributes:
        interval: the effect with its interval by problem.
        random: the effects of the random directions; without any, nothing can be told.
        sign: +1 where the claim is that it is large, -1 where it is that it is very negative.
    """

    interval: Interval
    random: tuple[float, ...]
    sign: int = 1

    @property
    def bound(self) -> float | None:
        """What 95 % of the random effects stay below (above, where the sign is -1)."""
        return float(random_bound(np.array(self.random), self.sign)) if self.random else None

    @property
    def p(self) -> float | None:
        """p of an effect as large as this along a random direction."""
        value = self.interval.value
        if value is None or not self.random:
            return None
        return random_direction_p(self.sign * value, self.sign * np.array(self.random))

    def exceeds_random(self) -> Verdict:
        """Whether the interval is off 0 and the value beyond the bound."""
        low, high, value = self.interval.low, self.interval.high, self.interval.value
        bound = self.bound
        if value is None or low is None or high is None or bound is None:
            return "untestable"
        off_zero = low > 0 if self.sign > 0 else high < 0
        return "holds" if off_zero and self.sign * (value - bound) > 0 else "fails"
