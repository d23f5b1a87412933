"""A value with its uncertainty, and what may be said of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "fails", "no test", "untestable"]
"""`no test` where what was measured could not have told, as in a model that the dose breaks;
`untestable` where it was not measured."""


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


@dataclass(frozen=True)
class Bar:
    """A null that an effect is held against.

    Attributes:
        k: how many directions were drawn.
        bound: what 95 % of their effects stay below (above, where the effect is to be negative).
        p: of an effect as large as the one that is judged.
    """

    k: int
    bound: float
    p: float


def above(low: float | None, bound: float | None) -> Verdict:
    """Whether an interval's lower end is above a bound; untestable where either is missing."""
    if low is None or bound is None:
        return "untestable"
    return "holds" if low > bound else "fails"


def all_of(parts: Sequence[Verdict]) -> Verdict:
    """The first of `fails`, `no test` and `untestable` that any part is; else holds."""
    for verdict in ("fails", "no test", "untestable"):
        if verdict in parts:
            return verdict
    return "holds"
