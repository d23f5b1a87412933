"""Intervals in tests."""

from typing import NamedTuple

from backtracking.records.intervals import Interval


class Known(NamedTuple):
    """An interval all of whose numbers exist."""

    value: float
    low: float
    high: float
    n: int


def known(one: Interval | None) -> Known:
    """An interval that must be known."""
    assert one is not None
    assert one.value is not None and one.low is not None and one.high is not None
    return Known(one.value, one.low, one.high, one.n)
