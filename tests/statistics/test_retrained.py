"""Intervals over train problems too: they cover where those of one direction do not."""

import numpy as np
import pytest

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.retrained import retrained_interval

BOOTSTRAP = Bootstrap(300, 0.95, 0)
PROBLEMS = [f"p{number:02}" for number in range(60)]


def test_an_interval_that_resamples_directions_covers_where_one_that_does_not_is_too_narrow() -> (
    None
):
    """The direction at hand is off by as much as its estimates from other problems vary."""
    rng, truth, off = np.random.default_rng(1), 0.2, 0.1
    covered, covered_by_one = 0, 0
    for _ in range(120):
        own = truth + off * rng.standard_normal()
        noise = 0.2 * rng.standard_normal(len(PROBLEMS))
        again = own + off * rng.standard_normal((40, 1)) + noise
        found = retrained_interval(own + noise, again, PROBLEMS, BOOTSTRAP)
        (one,) = BOOTSTRAP.intervals(own + noise, PROBLEMS)
        assert found.low is not None and found.high is not None
        assert one.low is not None and one.high is not None
        covered += found.low < truth < found.high
        covered_by_one += one.low < truth < one.high
    assert covered_by_one < 80 and covered > 105


def test_the_value_is_that_of_the_direction_at_hand() -> None:
    effects = np.linspace(0, 1, 60)
    found = retrained_interval(effects, np.zeros((5, 60)), PROBLEMS, BOOTSTRAP)
    assert (found.value, found.low, found.high) == (pytest.approx(0.5), 0.0, 0.0)


def test_without_another_estimate_there_is_nothing_to_resample() -> None:
    with pytest.raises(ValueError, match="estimated again, found none"):
        retrained_interval(np.zeros(60), np.zeros((0, 60)), PROBLEMS, BOOTSTRAP)
