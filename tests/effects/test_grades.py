"""Rates that were counted, and those that were taught."""

import numpy as np
import pytest

from backtracking.effects.grades import measure
from backtracking.records.intervals import Interval
from backtracking.records.rows.measures import Measure, Tally
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)


def test_a_rate_is_over_all_that_was_seen_and_its_interval_over_problems() -> None:
    """The same as of one row for each time that it was looked at."""
    tallies = [Tally("x", f"p{n}", n + 1, n) for n in range(5)]
    (row,) = measure(tallies, {}, BOOTSTRAP)
    values = np.array([k < one.n_true for one in tallies for k in range(one.n)], dtype=float)
    problems = [one.problem_id for one in tallies for _ in range(one.n)]
    assert row == Measure("x", *BOOTSTRAP.intervals(values, problems))
    assert row.rate.value == pytest.approx(10 / 15) and row.rate.n == 5


def test_measures_come_by_name_and_what_was_taught_last_and_without_an_interval() -> None:
    rows = measure([Tally(name, "p", 1, 1) for name in ("y", "x")], {"taught": 0.6}, BOOTSTRAP)
    assert [row.measure for row in rows] == ["x", "y", "taught"]
    assert rows[-1].rate == Interval(0.6, None, None, 0)


def test_more_that_is_so_than_was_seen_is_refused() -> None:
    with pytest.raises(ValueError, match="`n_true` 2 must be from 0 to `n` 1"):
        Tally("x", "p", 1, 2)
