import numpy as np
import pytest
from planted import drawn, from_labels

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import markov
from backtracking.transitions.order_tests import (
    dwell_rows,
    geometric_test,
    likelihood_ratio,
    order_test,
)
from backtracking.transitions.scoring import nll

BOOTSTRAP = Bootstrap(100, 0.95, 0)


def test_the_likelihood_ratio_is_that_of_two_fitted_chains() -> None:
    traces = drawn("markov_2", 30)[1]
    for order in range(3):
        lower, higher = (
            nll(markov.fit(traces, (1e-12,) * (n + 1)).predict(traces), traces)
            for n in (order, order + 1)
        )
        expected = 2 * traces.scored.sum() * (lower - higher)
        assert likelihood_ratio(traces, order) == pytest.approx(expected, rel=1e-6)


def test_order_two_is_seen_and_nothing_beyond_it() -> None:
    traces = drawn("markov_2", 80)[1]
    p = [order_test(traces, n, 49, np.random.default_rng(0)).p for n in range(3)]
    assert p[0] == p[1] == 0.02
    assert p[2] > 0.05


def geometric(rng: np.random.Generator, n: int) -> list[list[int]]:
    """Label 0 for a geometric time, then 1."""
    return [[0] * int(rng.geometric(0.4)) + [1] for _ in range(n)]


def test_geometric_dwells_are_null_at_the_nominal_rate() -> None:
    rejected = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = dwell_rows(from_labels(geometric(rng, 80)), BOOTSTRAP, 99, seed)
        rejected += rows[0].p <= 0.05
    assert rejected <= 8


def test_dwells_of_another_law_are_found_with_their_hazards() -> None:
    rng = np.random.default_rng(0)
    lasts = rng.choice([1, 2, 3], p=[0.15, 0.65, 0.2], size=2000)
    (row,) = dwell_rows(from_labels([[0] * n + [1] for n in lasts.tolist()]), BOOTSTRAP, 199, 0)
    assert row.p == row.p_holm == 1 / 200
    assert row.mean_dwell.value == pytest.approx(lasts.mean())
    hazards = [one.share.value for one in row.hazards]
    assert hazards == pytest.approx([(lasts == n).sum() / (lasts >= n).sum() for n in (1, 2, 3)])
    assert hazards == pytest.approx([0.15, 0.65 / 0.85, 1.0], abs=0.04)
    assert [one.n_runs for one in row.hazards] == [2000, (lasts > 1).sum(), (lasts > 2).sum()]


def test_runs_that_a_truncation_cut_count_with_the_time_they_lasted() -> None:
    rng = np.random.default_rng(2)
    labels = geometric(rng, 400)
    cut = [one[: int(rng.integers(1, 4))] for one in labels]
    ended = [len(a) == len(b) for a, b in zip(cut, labels, strict=True)]
    (row, *_) = dwell_rows(from_labels(cut, ended=ended), BOOTSTRAP, 99, 0)
    assert row.hazard.value == pytest.approx(0.4, abs=0.05)
    assert row.p > 0.05


def test_the_null_draws_have_the_hazard_that_was_seen() -> None:
    statistic, null = geometric_test(
        np.array([100.0, 60, 36, 22, 13, 20]), np.array([40.0, 24, 14, 9, 5, 8]), 500,
        np.random.default_rng(0),
    )  # fmt: skip
    assert statistic < np.quantile(null, 0.5)
    assert 3 < null.mean() < 8
