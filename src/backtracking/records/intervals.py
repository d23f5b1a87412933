"""A value with its uncertainty, and what may be said of it."""

from collections.abc import Sequence
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


def above(low: float | None, bound: float | None) -> Verdict:
    """Whether an interval's lower end is above a bound; untestable where either is missing."""
    if low is None or bound is None:
        return "untestable"
    return "holds" if low > bound else "fails"


def all_of(parts: Sequence[Verdict]) -> Verdict:
    """Fails where any part fails; untestable where any part is; else holds."""
    if "fails" in parts:
        return "fails"
    return "untestable" if "untestable" in parts else "holds"
