import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from backtracking.effects.dose_response import half_doses, isotonic, respond
from backtracking.statistics.bootstrap import Bootstrap

DOSES = np.array([0.25, 0.5, 1.0, 2.0])
BOOTSTRAP = Bootstrap(400, 0.95, 3)


def planted(curve: np.ndarray, noise: float, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of problems whose mean effects are `curve`."""
    rng = np.random.default_rng(5)
    counts = rng.integers(2, 9, n).astype(float)
    return counts[:, None] * (curve + noise * rng.normal(size=(n, len(curve)))), counts


def test_isotonic_curves_are_those_of_scikit_learn() -> None:
    curves = np.random.default_rng(0).normal(size=(50, 7)).cumsum(axis=1)
    expected = [IsotonicRegression().fit_transform(np.arange(7), curve) for curve in curves]
    np.testing.assert_allclose(isotonic(curves), expected, atol=1e-12)


def test_the_half_dose_of_a_planted_curve_is_found_within_its_interval() -> None:
    saturating = DOSES**2 / (DOSES**2 + 0.2)
    effects, counts = planted(saturating, 0.2)
    found = respond(DOSES, effects, counts, 1.0, BOOTSTRAP)
    truth = half_doses(DOSES, saturating[None], np.array([2]))[0]
    assert found.status == "defined" and 0.25 < truth < 0.5
    assert found.ed50 == pytest.approx(truth, abs=0.05)
    assert found.ed50_low is not None and found.ed50_high is not None
    assert found.ed50_low < truth < found.ed50_high
    assert found.effect == pytest.approx(saturating[2], abs=0.05)


def test_half_doses_of_straight_and_of_stepped_curves() -> None:
    curves = np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]])
    found = half_doses(DOSES, curves, np.array([3, 3, 3]))
    assert found[:2] == pytest.approx([1.0, 0.75])
    assert np.isnan(found[2])


def test_later_doses_than_the_peak_count_nowhere() -> None:
    curves = np.array([[0.4, 0.6, 1.0, 9.0]])
    assert half_doses(DOSES, curves, np.array([2])) == pytest.approx([0.375])


@pytest.mark.parametrize("curve", [[0.3, 0.2, 0.1, 0.0], [0.5, 0.5, 0.6, 0.6]])
def test_what_the_smallest_dose_has_already_is_censored_and_never_half_of_that_dose(
    curve: list[float],
) -> None:
    """A line from dose 0 would give a number that no measurement stands behind."""
    effects, counts = planted(np.array(curve), 0.02)
    peak = float(DOSES[int(np.argmax(curve))])
    found = respond(DOSES, effects, counts, peak, BOOTSTRAP)
    assert found.status == "left-censored" and found.smallest == 0.25
    assert found.ed50 is found.ed50_low is found.ed50_high is None
    assert found.share_left_censored > 0.95


def test_an_interval_has_no_lower_end_where_some_replicates_lie_below_all_doses() -> None:
    effects, counts = planted(np.array([0.46, 0.8, 1.0, 1.0]), 0.9)
    found = respond(DOSES, effects, counts, 1.0, BOOTSTRAP)
    assert found.status == "defined" and 0.05 < found.share_left_censored < 0.95
    assert found.ed50_low is None and found.ed50_high is not None


def test_a_peak_at_the_edge_is_censored() -> None:
    effects, counts = planted(DOSES, 0.05)
    found = respond(DOSES, effects, counts, 2.0, BOOTSTRAP)
    assert found.status == "censored"
    assert found.share_censored > 0.95


def test_an_effect_that_may_be_zero_has_no_half_dose() -> None:
    effects, counts = planted(np.zeros(4), 0.5)
    found = respond(DOSES, effects, counts, 1.0, BOOTSTRAP)
    assert found.status == "undefined"
    assert found.ed50 is found.ed50_low is None
    shares = (found.share_defined, found.share_censored, found.share_undefined)
    assert sum(shares) + found.share_left_censored == pytest.approx(1.0)


def test_doses_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="ascending doses above 0"):
        respond(DOSES[::-1].copy(), np.zeros((3, 4)), np.ones(3), 1.0, BOOTSTRAP)
