"""A value with its uncertainty, and what may be said of it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "fails", "untestable"]


@dataclass(frozen=True)
class Interval:
    """A value with its percentile interval; None where undefined.

    Attributes:
        value: the estimate from all problems.
        low: lower end.
        high: upper end.
        n: number of problems.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int

    def __neg__(self) -> "Interval":
        value, low, high = (
            None if one is None else -one for one in (self.value, self.high, self.low)
        )
        return Interval(value, low, high, self.n)
