"""AUROC by pairs of problems equals AUROC by rows, and the band covers all cells at once."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from backtracking.statistics.auroc import aurocs
from backtracking.statistics.bands import (
    Replicates,
    band,
    concatenate,
    pair_wins,
    resample_aurocs,
)
from backtracking.statistics.bootstrap import resample_problems
from backtracking.statistics.jackknife import LOGIT, auroc_interval

N_PROBLEMS = 40


def draw(
    rng: np.random.Generator, sizes: np.ndarray, n_rows: int = 6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of cells with a shift by class, labels and problems; a problem's rows resemble."""
    problem = np.repeat(np.arange(N_PROBLEMS), n_rows)
    is_positive = rng.random(len(problem)) < 0.4
    noise = rng.normal(size=(len(sizes), N_PROBLEMS))[:, problem]
    scores = sizes[:, None] * is_positive + noise + rng.normal(size=(len(sizes), len(problem)))
    return scores, is_positive, problem


def test_values_and_replicates_are_those_of_auroc_by_rows_with_ties() -> None:
    rng = np.random.default_rng(0)
    scores, is_positive, problem = draw(rng, np.array([0.0, 1.0]))
    scores = np.round(scores, 1)
    weights = resample_problems(N_PROBLEMS, 20, rng)
    used = rng.random(scores.shape) < 0.8
    found = resample_aurocs(scores, is_positive, problem, used, weights)
    for cell in range(2):
        rows = used[cell]
        its = aurocs(scores[cell, rows], is_positive[rows], weights[:, problem[rows]])
        assert found.replicates[cell] == pytest.approx(its)
        value = roc_auc_score(is_positive[rows], scores[cell, rows])
        assert found.value[cell] == pytest.approx(value)


def test_wins_of_pairs_of_problems_sum_to_the_pairs() -> None:
    rng = np.random.default_rng(1)
    scores, is_positive, problem = draw(rng, np.array([0.5]))
    wins = pair_wins(scores[0], is_positive, problem, N_PROBLEMS)
    losses = pair_wins(-scores[0], is_positive, problem, N_PROBLEMS)
    sizes = [np.bincount(problem[one], minlength=N_PROBLEMS) for one in (is_positive, ~is_positive)]
    assert np.allclose(wins + losses, np.outer(*sizes))


def test_a_row_without_score_is_left_out_and_one_class_is_undefined() -> None:
    rng = np.random.default_rng(2)
    scores, is_positive, problem = draw(rng, np.array([1.0, 1.0]))
    scores[1] = np.nan
    scores[0, ::3] = np.nan
    weights = resample_problems(N_PROBLEMS, 5, rng)
    everything = np.ones(scores.shape, dtype=bool)
    found = resample_aurocs(scores, is_positive, problem, everything, weights)
    rest = np.isfinite(scores[0])
    assert found.value[0] == pytest.approx(roc_auc_score(is_positive[rest], scores[0, rest]))
    assert np.isnan(found.value[1])
    ends = band(found, 0.95)
    assert np.isnan(ends.low[1]) and np.isfinite(ends.low[0])
    assert np.isnan(found.ends(0.95)).tolist() == [[False, True], [False, True]]


def test_intervals_are_those_of_the_rows_with_the_problems_that_a_cell_has() -> None:
    rng = np.random.default_rng(6)
    scores, is_positive, problem = draw(rng, np.array([0.5, 1.5]))
    used = np.ones(scores.shape, dtype=bool)
    used[1] = problem % 3 > 0
    found = resample_aurocs(scores, is_positive, problem, used, np.empty((0, N_PROBLEMS)))
    assert found.replicates.shape == (2, 0)
    for cell, (low, high) in enumerate(zip(*found.ends(0.95, LOGIT), strict=True)):
        rows = used[cell]
        names = [str(number) for number in problem[rows]]
        its = auroc_interval(scores[cell, rows], is_positive[rows], names, 0.95)
        assert (low, high) == pytest.approx((its.low, its.high))
        assert (found.value[cell], found.n[cell]) == (pytest.approx(its.value), its.n)


def test_a_cell_that_one_problem_alone_defines_has_no_interval() -> None:
    scores, problem = np.array([[0.1, 0.4, 0.3, 0.8]]), np.array([0, 1, 2, 0])
    is_positive, used = np.array([False, False, False, True]), np.ones((1, 4), dtype=bool)
    found = resample_aurocs(scores, is_positive, problem, used, np.empty((0, 3)))
    assert found.value.tolist() == [1.0]
    assert np.isnan(found.ends(0.95)).all()
    assert np.isnan((found - found).ends(0.95)).all()


def simulate_coverage(n_runs: int, n_offsets: int) -> tuple[int, int]:
    """Runs in which the band, and the pointwise intervals, hold for every difference of two."""
    rng = np.random.default_rng(3)
    sizes = np.linspace(0.0, 1.2, n_offsets)
    truth = norm.cdf(sizes / 2) - norm.cdf(0.4 / 2)
    by_band, by_points = 0, 0
    for _ in range(n_runs):
        scores, is_positive, problem = draw(rng, np.array([*sizes, 0.4]))
        weights = resample_problems(N_PROBLEMS, 300, rng)
        everything = np.ones(scores.shape, dtype=bool)
        found = resample_aurocs(scores, is_positive, problem, everything, weights)
        difference = found[:-1] - found[np.full(n_offsets, n_offsets)]
        ends = band(difference, 0.95)
        by_band += ((ends.low <= truth) & (truth <= ends.high)).all()
        low, high = difference.ends(0.95)
        by_points += ((low <= truth) & (truth <= high)).all()
    return int(by_band), int(by_points)


def test_the_band_covers_all_offsets_at_the_nominal_rate_and_points_do_not() -> None:
    by_band, by_points = simulate_coverage(200, 12)
    assert 181 <= by_band <= 198
    assert by_points < 165


def test_the_band_of_one_cell_is_of_two_errors_and_more_cells_widen_it() -> None:
    rng = np.random.default_rng(4)
    replicates = 0.1 * rng.normal(size=(20, 4000))
    all_cells = Replicates(np.zeros(20), replicates, np.zeros((20, 40)), np.full(20, 40))
    one, together = band(all_cells[:1], 0.95), band(all_cells, 0.95)
    assert one.high[0] == pytest.approx(0.196, abs=0.01)
    assert together.high[0] == pytest.approx(0.302, abs=0.02)
    split = concatenate([all_cells[:7], all_cells[7:]])
    assert (band(split, 0.95).high == together.high).all()


def test_a_cell_without_spread_has_a_band_of_no_width_and_no_say_in_the_others() -> None:
    replicates = np.vstack([np.ones((1, 100)), np.random.default_rng(5).normal(size=(1, 100))])
    both = Replicates(np.array([1.0, 0.0]), replicates, np.zeros((2, 9)), np.array([9, 9]))
    ends = band(both, 0.95)
    assert ends.low[0] == ends.high[0] == 1.0
    assert ends.high[1] == band(both[1:], 0.95).high[0]
