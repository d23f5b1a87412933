"""Shares of rates that are known from a few draws each, at another number of draws and behind."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta

from backtracking.statistics.draws import (
    Cells,
    expect_fewer_of,
    fewer_of,
    rates_behind,
    share_below,
)


def planted(n: int, size: int, seed: int) -> Cells:
    """Events whose rates are of a distribution with most of its mass at both ends."""
    rng = np.random.default_rng(seed)
    k = rng.binomial(n, rng.beta(0.35, 0.6, size))
    return Cells.of(k, np.full(size, n))


def test_fewer_draws_are_all_choices_among_the_draws() -> None:
    seen = [1] * 5 + [0] * 2
    few = [sum(chosen) < 3 for chosen in combinations(seen, 4)]
    found = fewer_of(np.array([5, 0, 2]), np.array([7, 7, 3]), 4, 3)
    assert found[:2] == pytest.approx([np.mean(few), 1])
    assert np.isnan(found[2])


def test_the_rates_behind_ten_draws_have_the_shares_that_counting_misses() -> None:
    truth = beta.cdf([0.5, 0.8], 0.35, 0.6)
    counted, behind = [], []
    for seed in range(8):
        cells = planted(10, 350, seed)
        share = cells.rows.mean(axis=0)[None]
        mass = rates_behind(cells.k, cells.n, share)
        assert mass.sum() == pytest.approx(1)
        counted.append([float((share @ (cells.rate < end))[0]) for end in (0.5, 0.8)])
        behind.append([share_below(mass, end)[0] for end in (0.5, 0.8)])
    assert np.abs(np.mean(behind, axis=0) - truth).max() < 0.025
    assert np.abs(np.mean(counted, axis=0) - truth).max() > 0.025


def test_with_many_draws_counting_is_right_as_well() -> None:
    cells = planted(2000, 350, 0)
    share = cells.rows.mean(axis=0)[None]
    mass = rates_behind(cells.k, cells.n, share)
    assert share_below(mass, 0.8) == pytest.approx(share @ (cells.rate < 0.8), abs=0.01)


def test_new_draws_of_the_rates_are_what_ten_of_the_draws_show() -> None:
    many, few = planted(100, 2000, 0), planted(8, 2000, 0)
    share = many.rows.mean(axis=0)[None]
    by_choice = many.unstable(share)
    by_rates = expect_fewer_of(rates_behind(many.k, many.n, share), 10, 8)
    assert by_rates == pytest.approx(by_choice, abs=0.003)
    assert few.unstable(few.rows.mean(axis=0)[None]) == pytest.approx(by_choice, abs=0.03)


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_the_median_of_cells_is_that_of_the_events(size: int) -> None:
    rng = np.random.default_rng(size)
    k, n = rng.integers(0, 9, size), np.full(size, 9)
    cells = Cells.of(k, n)
    assert cells.median(cells.rows.mean(axis=0)[None])[0] == pytest.approx(np.median(k / n))


def test_a_sample_without_some_counts_has_rates_as_well() -> None:
    cells = Cells.of(np.array([0, 100, 50]), np.array([100, 100, 100]))
    mass = rates_behind(cells.k, cells.n, np.eye(3))
    assert share_below(mass, 0.25) == pytest.approx([1, 0, 0], abs=1e-3)
