"""Tables of cosines: planted angles come back, beside what shuffled labels give."""

import numpy as np
import pytest
import torch
from directions.test_estimator import D_MODEL, plant_contrasts, plant_pair

from backtracking.directions.contrasts import Placed
from backtracking.directions.cosines import (
    compare,
    compare_all_forms,
    compare_forms,
    compare_pairs,
)
from backtracking.directions.estimates import Estimated, Resamples, estimate
from backtracking.records.places import Place
from backtracking.records.rows.directions import PairCosine
from backtracking.statistics import corrected

N_PROBLEMS, N_NULL = 60, 39
PLACE = Place("reasoning", "matched", (0, 0), 1)


def resamples(seed: int = 0) -> Resamples:
    rng = np.random.default_rng(seed)
    splits = corrected.split_halves(N_PROBLEMS, 10, rng)
    return Resamples(splits, N_NULL, seed)


def plant(norm: float, cosine: float, seed: int = 0) -> list[Estimated]:
    """Two directions of a known angle, estimated with intervals and nulls."""
    return [
        estimate(Placed(PLACE, one), resamples(), with_interval=True, with_null=True)
        for one in plant_contrasts(plant_pair(norm, cosine, seed), seed)
    ]


def test_a_planted_angle_lies_in_its_interval_and_beyond_shuffled_labels() -> None:
    row = compare(*plant(2.0, 0.6))
    assert row.low and row.high and row.low < 0.6 < row.high
    assert row.null_low and row.null_high and row.cosine
    assert row.null_low < 0 < row.null_high < 0.3 < row.cosine
    assert row.n == N_PROBLEMS


def test_orthogonal_directions_hold_0_in_their_interval() -> None:
    rows = [compare(*plant(2.0, 0.0, seed)) for seed in range(10)]
    assert sum(bool(row.low and row.high and row.low < 0 < row.high) for row in rows) >= 8


def test_labels_that_mean_nothing_reach_the_norm_of_shuffled_ones_at_the_nominal_rate() -> None:
    n, reached = 60, 0
    for seed in range(n):
        (contrast,) = plant_contrasts(torch.zeros(1, D_MODEL), seed, problem_noise=0.0)
        named = Placed(PLACE, contrast)
        one = estimate(named, resamples(seed), with_interval=False, with_null=True)
        p = one.measure(PLACE, 1.0).norm_p
        reached += p is not None and p <= 0.1
    assert 1 <= reached <= 13


def test_a_norm_stands_beside_the_norm_of_shuffled_labels() -> None:
    strong = plant(2.0, 0.6)[0].measure(PLACE, 1.0)
    assert strong.norm_low and strong.norm_high and strong.norm_low < 2.0 < strong.norm_high
    assert strong.norm_null and strong.norm_null < 0.8 and strong.norm_p == 1 / (1 + N_NULL)
    assert strong.split_half_cosine and 0.8 < strong.split_half_cosine < 1
    weak = plant(0.0, 0.6)[0].measure(PLACE, 1.0)
    assert weak.norm_p is None or weak.norm_p > 0.025


def test_without_resamples_and_nulls_there_are_no_intervals() -> None:
    contrast = plant_contrasts(plant_pair(2.0, 0.6, 0)[:1], 0)[0]
    one = estimate(Placed(PLACE, contrast), resamples(), with_interval=False, with_null=False)
    strength = one.measure(PLACE, 1.0)
    assert strength.norm_corrected and strength.norm_low is strength.norm_null is None
    row = compare(one, one)
    assert row.low is row.high is row.null_low is row.null_raw is None
    assert row.cosine == pytest.approx(1)


def test_what_is_projected_out_is_gone_from_the_direction_its_halves_and_its_null() -> None:
    one = plant(2.0, 0.6)[0]
    rows = torch.randn(2, D_MODEL, generator=torch.Generator().manual_seed(7))
    found = one.without(rows)
    assert found.left_out is not None and found.null is not None
    for values in (found.direction.numpy(), found.halves, found.left_out, *found.null):
        assert np.abs(values @ rows.double().numpy().T).max() < 1e-10
    assert 0 < found.measure(PLACE, 1.0).norm < one.measure(PLACE, 1.0).norm


def test_a_form_is_nearer_to_the_truth_by_the_difference_of_the_two_cosines() -> None:
    first, truth = plant(2.0, 0.9)
    _, other = plant(2.0, 0.2)
    found = compare_forms(first, other, truth)
    near, far = (compare(one, truth).cosine for one in (first, other))
    assert near and far and found.value == pytest.approx(near - far)
    assert found.low and found.high and found.low <= near - far <= found.high


def test_compared_forms_have_their_row() -> None:
    one, other = plant(2.0, 0.6)
    estimated = {
        Place(role, form, (0, 0), layer): one if layer else other
        for role in ("base", "reasoning")
        for form in ("matched", "unmarked", "keyword", "stable")
        for layer in range(3)
    } | {Place("reasoning", "ward", (-3, -1), 0): other}
    forms = compare_all_forms(estimated)
    assert len(forms) == 2 * 3 * 4 + 1
    nearer = [(row.form, row.other_form, row.nearer.value) for row in forms if row.nearer]
    assert set(nearer) == {("stable", "matched", 0)}


def test_a_pair_is_compared_where_both_models_have_the_direction() -> None:
    one, other = plant(2.0, 0.6)
    estimated = {
        Place("base", "matched", (-4, 0), 1): other,
        Place("reasoning", "matched", (-4, 0), 1): one,
        Place("reasoning", "matched", (0, 0), 1): one,
    }
    (row,) = compare_pairs(estimated, {"reasoning": "base", "shuffled": "base"})
    assert row == PairCosine("base-reasoning", "matched", "-4:0", 1, compare(other, one))
