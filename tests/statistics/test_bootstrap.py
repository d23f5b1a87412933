"""Intervals cover, nulls are null, and corrections recover what was planted."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from backtracking.records.intervals import Interval
from backtracking.statistics.auroc import auroc, aurocs
from backtracking.statistics.bootstrap import (
    Bootstrap,
    percentile_interval,
    rates,
    resample_problems,
)
from backtracking.statistics.corrected import (
    noise_corrected_cosine,
    noise_corrected_cosines,
    noise_corrected_norm,
    split_half_cosine,
    split_halves,
)
from backtracking.statistics.nulls import random_bound, random_direction_p

D_MODEL = 32


def draw_rows(rng: np.random.Generator, n_problems: int = 60) -> tuple[np.ndarray, list[str]]:
    """Rows with mean 0 whose problem explains half of their variance."""
    problem = np.repeat(np.arange(n_problems), rng.integers(5, 15, n_problems))
    values = rng.normal(size=n_problems)[problem] + rng.normal(size=len(problem))
    return values, [f"p{number:03}" for number in problem]


def number(value: float | None) -> float:
    assert value is not None
    return value


def covers(interval: Interval, value: float) -> bool:
    return number(interval.low) <= value <= number(interval.high)


def width(interval: Interval) -> float:
    return number(interval.high) - number(interval.low)


def plant_halves(
    rng: np.random.Generator, truths: np.ndarray, noise: float, n_problems: int = 100
) -> list[np.ndarray]:
    """Half estimates of several directions, measured with noise once per problem."""
    halves = split_halves(n_problems, 10, rng)[:, None]
    weights = np.concatenate([halves, ~halves], axis=1) / (n_problems / 2)
    return [weights @ (v + noise * rng.normal(size=(n_problems, D_MODEL))) for v in truths]


def plant_pair(rng: np.random.Generator, cosine: float) -> np.ndarray:
    basis, _ = np.linalg.qr(rng.normal(size=(D_MODEL, 2)))
    return np.stack([basis[:, 0], cosine * basis[:, 0] + np.sqrt(1 - cosine**2) * basis[:, 1]])


def test_intervals_by_problem_cover_and_intervals_by_sentence_are_too_narrow() -> None:
    rng = np.random.default_rng(0)
    by_problem, by_sentence = 0, 0
    for seed in range(100):
        values, problem_ids = draw_rows(rng)
        bootstrap = Bootstrap(200, 0.95, seed)
        (honest,) = bootstrap.intervals(values, problem_ids)
        (narrow,) = bootstrap.intervals(values, [str(row) for row in range(len(values))])
        by_problem += covers(honest, 0)
        by_sentence += covers(narrow, 0)
    assert by_problem >= 88
    assert by_sentence <= 70


def test_noise_corrected_cosine_recovers_a_planted_cosine_that_the_raw_one_misses() -> None:
    rng = np.random.default_rng(1)
    corrected, raw = [], []
    for _ in range(100):
        first, second = plant_halves(rng, plant_pair(rng, 0.7), noise=1.0)
        corrected.append(number(noise_corrected_cosine(first, second)))
        a, b = first.mean(axis=(0, 1)), second.mean(axis=(0, 1))
        raw.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert np.mean(corrected) == pytest.approx(0.7, abs=0.03)
    assert np.mean(raw) < 0.58


def test_noise_corrected_norm_recovers_a_planted_norm() -> None:
    rng = np.random.default_rng(2)
    halves = [plant_halves(rng, plant_pair(rng, 0.5), noise=1.5)[0] for _ in range(40)]
    assert np.mean([number(noise_corrected_norm(h)) for h in halves]) == pytest.approx(1, abs=0.05)
    assert np.mean([np.linalg.norm(h.mean(axis=(0, 1))) for h in halves]) > 1.2


def test_split_half_cosine_is_the_reliability_of_a_half() -> None:
    rng = np.random.default_rng(3)
    found = [
        number(split_half_cosine(plant_halves(rng, plant_pair(rng, 0.5), noise=1.0)[0]))
        for _ in range(40)
    ]
    noise_of_half = D_MODEL / 50
    assert np.mean(found) == pytest.approx(1 / (1 + noise_of_half), abs=0.04)


def test_noise_alone_has_no_corrected_norm_or_a_small_one() -> None:
    rng = np.random.default_rng(4)
    halves = [plant_halves(rng, np.zeros((1, D_MODEL)), noise=1.0)[0] for _ in range(60)]
    norms = [noise_corrected_norm(h) for h in halves]
    assert 15 <= sum(norm is None for norm in norms) <= 45
    assert max(norm for norm in norms if norm is not None) < 0.5
    undefined = halves[next(i for i, norm in enumerate(norms) if norm is None)]
    assert noise_corrected_cosine(undefined, undefined) is None
    assert np.isnan(noise_corrected_cosines(undefined[None], undefined[None])).all()


def test_scale_and_sign_move_the_corrected_cosine_as_they_should() -> None:
    first, second = plant_halves(np.random.default_rng(5), np.eye(2, D_MODEL), noise=0.5)
    cosine = number(noise_corrected_cosine(first, second))
    assert noise_corrected_cosine(3 * first, second) == pytest.approx(cosine)
    assert noise_corrected_cosine(-first, second) == pytest.approx(-cosine)
    assert noise_corrected_cosine(first, first) == pytest.approx(1)


def test_halves_are_disjoint_complete_and_equal_in_size() -> None:
    halves = split_halves(11, 30, np.random.default_rng(6))
    assert (halves.sum(axis=1) == 5).all()
    assert len(np.unique(halves, axis=0)) > 20


@pytest.mark.parametrize("n_problems", [0, 1])
def test_of_fewer_than_two_problems_a_half_is_empty(n_problems: int) -> None:
    halves = split_halves(n_problems, 3, np.random.default_rng(6))
    assert halves.shape == (3, n_problems) and not halves.any()


def test_without_rows_there_is_no_value_and_no_interval() -> None:
    found = Bootstrap(20, 0.95, 0).intervals(np.zeros((0, 2)), [])
    assert found == [Interval(None, None, None, 0)] * 2


def test_the_bootstrap_equals_one_written_out_row_by_row() -> None:
    values, problem_ids = draw_rows(np.random.default_rng(7), n_problems=8)
    values[3] = np.nan
    weights = resample_problems(8, 50, np.random.default_rng(9))
    replicates = []
    for draw in weights:
        rows = [
            value
            for value, name in zip(values, problem_ids, strict=True)
            for _ in range(int(draw[int(name[1:])]))
        ]
        replicates.append(np.nanmean(rows))
    low, high = np.quantile(replicates, [0.05, 0.95])
    (found,) = Bootstrap(50, 0.9, 9).intervals(values, problem_ids)
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), 8)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_order_of_rows_does_not_matter_and_columns_share_their_resamples() -> None:
    values, problem_ids = draw_rows(np.random.default_rng(8))
    order = np.random.default_rng(8).permutation(len(values))
    bootstrap = Bootstrap(100, 0.95, 3)
    columns = bootstrap.intervals(np.stack([values, values + 1], axis=1), problem_ids)
    (shuffled,) = bootstrap.intervals(values[order], [problem_ids[row] for row in order])
    assert shuffled.low == pytest.approx(columns[0].low)
    assert columns[1].high == pytest.approx(number(columns[0].high) + 1)


def test_a_paired_difference_is_narrower_and_allows_different_rows() -> None:
    rng = np.random.default_rng(10)
    values, problem_ids = draw_rows(rng)
    other = values + 0.5 + 0.1 * rng.normal(size=len(values))
    bootstrap = Bootstrap(300, 0.95, 4)
    (paired,) = bootstrap.differences(other[5:], problem_ids[5:], values, problem_ids)
    (alone,) = bootstrap.intervals(values, problem_ids)
    assert paired.value == pytest.approx(other[5:].mean() - values.mean())
    assert covers(paired, 0.5)
    assert width(paired) < 0.5 * width(alone)


def test_a_constant_has_an_interval_of_width_zero() -> None:
    values, problem_ids = draw_rows(np.random.default_rng(11))
    solved = np.ones(len(values), dtype=bool)
    assert Bootstrap(50, 0.95, 0).intervals(solved, problem_ids) == [Interval(1.0, 1.0, 1.0, 60)]


def test_what_is_undefined_is_none() -> None:
    values = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0]])
    first, second = Bootstrap(200, 0.95, 0).intervals(values, ["a", "b", "c"])
    assert (first.value, first.n) == (2.0, 3)
    assert second == Interval(5.0, None, None, 1)
    (nothing,) = Bootstrap(20, 0.95, 0).intervals(np.full(2, np.nan), ["a", "b"])
    assert nothing == Interval(None, None, None, 0)
    mostly_undefined = np.where(np.arange(100) < 10, np.nan, 1.0)
    assert percentile_interval(1.0, mostly_undefined, 9) == Interval(1.0, None, None, 9)
    assert percentile_interval(None, mostly_undefined, 9) == Interval(None, None, None, 9)


def test_wrong_input_is_told() -> None:
    with pytest.raises(ValueError, match="found 3 rows and 2 problems"):
        Bootstrap(10, 0.95, 0).intervals(np.zeros(3), ["a", "b"])
    with pytest.raises(ValueError, match="level between 0 and 1"):
        Bootstrap(10, 95.0, 0)
    with pytest.raises(ValueError, match="Expected numbers to compare, found nan"):
        random_direction_p(float("nan"), np.zeros(39))
    with pytest.raises(ValueError, match=r"between 0 and \[2\], found \[3\]"):
        rates(np.array([3]), np.array([2]))
    with pytest.raises(ValueError, match="finite scores"):
        auroc(np.array([np.nan, 1.0]), np.array([True, False]))


def test_a_random_direction_is_above_the_others_at_the_nominal_rate() -> None:
    assert random_direction_p(2.0, np.zeros(39)) == 1 / 40
    assert random_direction_p(0.0, np.zeros(39)) == 1.0
    draws = np.random.default_rng(12).normal(size=(2000, 40))
    p = np.array([random_direction_p(draw[0], draw[1:]) for draw in draws])
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("n_random", [19, 39, 50, 99])
def test_beyond_the_random_bound_is_what_a_p_of_at_most_5_percent_is(n_random: int) -> None:
    draws = np.random.default_rng(15).normal(size=(400, n_random + 1))
    for value, *random in draws:
        others = np.array(random)
        assert (value > random_bound(others)) == (random_direction_p(value, others) <= 0.05)
        assert (value < random_bound(others, -1)) == (random_direction_p(-value, -others) <= 0.05)


def test_few_random_directions_are_exceeded_by_exceeding_all_of_them() -> None:
    assert random_bound(np.array([1.0, 5.0, 2.0])) == 5.0
    assert random_bound(np.array([1.0, 5.0, 2.0]), -1) == 1.0


def test_rates_of_nothing_are_none() -> None:
    assert rates(np.array([1, 0, 0]), np.array([4, 2, 0])) == [0.25, 0.0, None]


def test_auroc_equals_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(13)
    is_positive = rng.random(300) < 0.3
    scores = np.round(rng.normal(size=300) + is_positive, 1)
    weights = rng.integers(0, 4, size=(5, 300)).astype(np.float64)
    assert auroc(scores, is_positive) == pytest.approx(roc_auc_score(is_positive, scores))
    expected = [roc_auc_score(is_positive, scores, sample_weight=row) for row in weights]
    assert aurocs(scores, is_positive, weights) == pytest.approx(expected)


def test_auroc_within_strata_ignores_what_only_tells_strata_apart() -> None:
    rng = np.random.default_rng(14)
    stratum = rng.integers(0, 4, 2000)
    is_positive = rng.random(2000) < 0.2 + 0.2 * stratum
    scores = stratum + 0.01 * rng.normal(size=2000)
    assert number(auroc(scores, is_positive)) > 0.7
    assert auroc(scores, is_positive, stratum) == pytest.approx(0.5, abs=0.04)
    informed = rng.normal(size=2000) + is_positive
    within = number(auroc(informed, is_positive, stratum))
    assert auroc(np.exp(informed + 3), is_positive, stratum) == pytest.approx(within)
    assert auroc(informed + 5 * stratum, is_positive, stratum) == pytest.approx(within)
    assert auroc(-informed, is_positive, stratum) == pytest.approx(1 - within)


def test_auroc_of_one_class_is_undefined() -> None:
    scores = np.array([1.0, 2.0, 3.0])
    assert auroc(scores, np.array([True, True, True])) is None
    assert auroc(scores, np.array([True, False, False]), np.array([0, 1, 1])) is None
