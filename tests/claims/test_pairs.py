import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from backtracking.claims.pairs import count_pairs, mean_interval, share_interval
from backtracking.records.intervals import Interval, Verdict
from backtracking.records.rows.claims import Evidence, Finding


def claim(name: str, verdict: Verdict, estimate: float | None) -> Evidence:
    return Evidence(name, "", "", "emergent", Finding(verdict, estimate))


def test_claims_are_counted_over_pairs_and_effects_averaged() -> None:
    rows = [
        claim("causal", "holds", 0.4),
        claim("transfer", "fails", 0.0),
        claim("causal", "holds", 0.6),
        claim("transfer", "untestable", None),
        claim("causal", "fails", 0.2),
        claim("transfer", "holds", 0.2),
    ]
    causal, transfer = count_pairs(rows, 0.95)
    assert (causal.claim, causal.n_pairs, causal.n_holds) == ("causal", 3, 2)
    assert causal.estimate == pytest.approx(0.4)
    assert causal.low is not None and causal.high is not None
    assert causal.low < 0 < 0.4 < causal.high
    assert (transfer.n_holds, transfer.n_fails, transfer.n_untestable) == (1, 1, 1)
    assert transfer.estimate == pytest.approx(0.1)


@pytest.mark.parametrize(("k", "n"), [(0, 3), (2, 3), (3, 3), (7, 20)])
def test_bounds_of_a_share_are_those_of_scipy(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    assert share_interval(k, n, 0.95) == pytest.approx((expected.low, expected.high))


def test_the_mean_over_pairs_has_students_interval_and_of_one_pair_none() -> None:
    values = np.array([0.1, 0.5, 0.3])
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_interval(values, 0.95)
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert mean_interval(values[:1], 0.95) == Interval(0.1, None, None, 1)
    assert mean_interval(values[:0], 0.95) == Interval(None, None, None, 0)


def test_three_pairs_of_three_still_allow_a_claim_that_holds_in_a_third_of_them() -> None:
    low, high = share_interval(3, 3, 0.95)
    assert low == pytest.approx(0.025 ** (1 / 3))
    assert (low < 1 / 3, high) == (True, 1.0)
    assert share_interval(0, 0, 0.95) == (0.0, 1.0)
    with pytest.raises(ValueError, match="found 4 of 3"):
        share_interval(4, 3, 0.95)
