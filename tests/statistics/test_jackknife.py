"""Intervals from leaving problems out hold their level where percentiles do not."""

import numpy as np
import pytest

from backtracking.records.intervals import Interval
from backtracking.statistics import auroc, bootstrap
from backtracking.statistics.jackknife import (
    LOG,
    LOGIT,
    auroc_interval,
    jackknife_interval,
    leave_one_out,
)
from benchmarks.coverage_studies import Scores, covers


def test_of_a_mean_it_is_students_interval() -> None:
    values = np.random.default_rng(0).normal(size=12)
    left_out = leave_one_out(12) @ values / 11
    found = jackknife_interval(values.mean(), left_out, 0.95)
    reach = 2.200985 * values.std(ddof=1) / np.sqrt(12)
    assert (found.low, found.high) == pytest.approx((values.mean() - reach, values.mean() + reach))
    assert found.n == 12


def test_on_its_scale_an_interval_stays_within_its_bounds_and_is_symmetric_there() -> None:
    left_out = np.array([0.97, 0.98, 0.999, 0.985])
    found = jackknife_interval(0.98, left_out, 0.95, LOGIT)
    assert found.low is not None and found.high is not None
    assert 0 < found.low < 0.98 < found.high < 1
    odds = [np.log(p / (1 - p)) for p in (found.low, 0.98, found.high)]
    assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])
    norm = jackknife_interval(0.1, np.array([0.01, 0.2, 0.1]), 0.95, LOG)
    assert norm.low is not None and norm.low > 0


def test_at_the_end_of_the_scale_or_undefined_nothing_is_known() -> None:
    left_out = np.array([0.9, 0.95, 1.0])
    assert jackknife_interval(0.95, left_out, 0.95, LOGIT) == Interval(0.95, None, None, 3)
    assert jackknife_interval(None, left_out, 0.95) == Interval(None, None, None, 3)
    assert jackknife_interval(float("nan"), left_out, 0.95) == Interval(None, None, None, 3)
    undefined = np.array([0.9, np.nan, 0.8])
    assert jackknife_interval(0.9, undefined, 0.95) == Interval(0.9, None, None, 3)
    assert jackknife_interval(0.9, left_out[:1], 0.95) == Interval(0.9, None, None, 1)


def test_leaving_a_problem_out_is_computing_it_without_its_rows() -> None:
    rows, is_positive, stratum = Scores(n_problems=9).draw(np.random.default_rng(1))
    weights = leave_one_out(9)[:, rows.problem]
    found = auroc.aurocs(rows.values, is_positive, weights, stratum)
    for number, value in enumerate(found):
        kept = rows.problem != number
        alone = auroc.auroc(rows.values[kept], is_positive[kept], stratum[kept])
        assert value == pytest.approx(alone)


def test_order_and_names_of_the_problems_do_not_matter() -> None:
    rows, is_positive, stratum = Scores().draw(np.random.default_rng(2))
    order = np.random.default_rng(3).permutation(len(rows.values))
    found = auroc_interval(rows.values, is_positive, rows.problem_ids, 0.95, stratum)
    other = auroc_interval(
        rows.values[order],
        is_positive[order],
        [f"x{rows.problem[row]}" for row in order],
        0.95,
        stratum[order],
    )
    assert (other.low, other.high) == pytest.approx((found.low, found.high))


def test_near_one_percentiles_of_an_auroc_miss_the_truth_too_often_and_these_do_not() -> None:
    model, by_percentile, by_jackknife = Scores(truth=0.985), 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows, is_positive, stratum = model.draw(rng)
        weights = bootstrap.resample_problems(model.n_problems, 200, rng)[:, rows.problem]
        value = auroc.auroc(rows.values, is_positive, stratum)
        replicates = auroc.aurocs(rows.values, is_positive, weights, stratum)
        percentile = bootstrap.percentile_interval(value, replicates, model.n_problems)
        found = auroc_interval(rows.values, is_positive, rows.problem_ids, 0.95, stratum)
        by_percentile += covers(percentile, model.truth)
        by_jackknife += covers(found, model.truth)
    assert by_percentile < 183
    assert 183 <= by_jackknife <= 196
