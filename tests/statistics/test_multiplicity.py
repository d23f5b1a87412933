"""P values of families: nominal under the null, small for what is planted."""

import numpy as np
import pytest

from backtracking.statistics.multiplicity import familywise_p


def test_corrected_p_is_null_at_the_nominal_rate_and_finds_what_is_planted() -> None:
    rng = np.random.default_rng(0)
    smallest, planted = [], []
    for seed in range(200):
        sums = rng.standard_normal((25, 8)) * rng.uniform(0.1, 3, 8)
        smallest.append(familywise_p(sums, 199, seed).min())
        planted.append(familywise_p(sums + np.eye(1, 8) * 4 * sums.std(axis=0), 199, seed)[0])
    assert 0.01 < np.mean(np.array(smallest) <= 0.05) < 0.10
    assert np.mean(np.array(planted) <= 0.05) > 0.95


def test_corrected_p_of_one_column_is_scipys_sign_flip_test() -> None:
    from scipy.stats import permutation_test

    sums = np.random.default_rng(3).standard_normal((9, 1)) + 0.6
    expected = permutation_test(
        (sums[:, 0],), np.sum, permutation_type="samples", n_resamples=10**6
    ).pvalue
    assert familywise_p(sums, 20000, 0)[0] == pytest.approx(expected, abs=0.01)
