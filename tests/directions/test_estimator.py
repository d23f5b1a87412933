"""Planted directions are found, confounds are removed, and intervals hold what they promise."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from backtracking.directions import estimator, forms
from backtracking.directions.estimator import estimate, split_half_directions, sum_cells
from backtracking.directions.forms import Contrast, matched
from backtracking.directions.vectors import (
    action,
    difference_of_means,
    project,
    random_directions,
    without_span,
)
from backtracking.records.rows.directions import Counts
from backtracking.statistics import auroc, bootstrap, corrected

D_MODEL = 16
N_STRATA = 5
OFFSETS = torch.arange(-13, 11)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plant_pair(norm: float, cosine: float, seed: int) -> Tensor:
    """Two directions of one norm and a known cosine."""
    basis, _ = torch.linalg.qr(torch.randn(D_MODEL, 2, generator=generator(seed)).double())
    second = cosine * basis[:, 0] + (1 - cosine**2) ** 0.5 * basis[:, 1]
    return norm * torch.stack([basis[:, 0], second])


def plant_contrasts(
    truths: Tensor,
    seed: int,
    n_problems: int = 60,
    rows_per_problem: int = 10,
    confound: float = 0.0,
    problem_noise: float = 0.5,
) -> list[Contrast]:
    """Contrasts on the same rows, one per planted direction.

    The effect varies with the problem, so rows of one problem are not independent; the positive
    class is commoner in the higher strata, which move the activations along the first axis.
    """
    draw = generator(seed)
    problem = torch.arange(n_problems).repeat_interleave(rows_per_problem)
    stratum = torch.randint(N_STRATA, (len(problem),), generator=draw)
    is_positive = torch.rand(len(problem), generator=draw) < 0.2 + 0.15 * stratum
    contrasts = []
    for truth in truths:
        effect = truth + problem_noise * torch.randn(n_problems, D_MODEL, generator=draw).double()
        activations = torch.randn(len(problem), D_MODEL, generator=draw).double()
        activations += is_positive[:, None] * effect[problem]
        activations[:, 0] += confound * stratum
        contrasts.append(matched(activations, is_positive, stratum, problem))
    return contrasts


def number(value: float | None) -> float:
    assert value is not None
    return value


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.double(), b.double(), dim=0))


def test_a_planted_direction_is_found_with_its_angle_and_its_strength() -> None:
    truth = plant_pair(2.0, 0.7, seed=0)
    first, second = plant_contrasts(truth, seed=0, n_problems=400)
    found = estimate(first).direction, estimate(second).direction
    assert cosine(found[0], truth[0]) > 0.98
    assert float(found[0].norm()) == pytest.approx(2.0, abs=0.1)
    assert cosine(*found) == pytest.approx(0.7, abs=0.05)


def test_matching_removes_a_confound_that_the_plain_difference_keeps() -> None:
    truth = plant_pair(2.0, 0.0, seed=1)[:1]
    (contrast,) = plant_contrasts(truth, seed=1, n_problems=200, confound=3.0)
    rows, is_positive = contrast.activations, contrast.is_positive
    plain = difference_of_means(rows[is_positive], rows[~is_positive])
    assert cosine(plain, truth[0]) < 0.8
    assert cosine(estimate(contrast).direction, truth[0]) > 0.97


def test_the_corrected_cosine_and_norm_recover_what_noise_hides() -> None:
    truth = plant_pair(1.0, 0.7, seed=2)
    cosines, norms, raw = [], [], []
    for seed in range(40):
        contrasts = plant_contrasts(truth, seed)
        splits = corrected.split_halves(60, 10, np.random.default_rng(seed))
        first, second = (split_half_directions(sum_cells(c), splits)[0] for c in contrasts)
        cosines.append(number(corrected.noise_corrected_cosine(first, second)))
        norms.append(number(corrected.noise_corrected_norm(first)))
        raw.append(cosine(*(estimate(c).direction for c in contrasts)))
    assert np.mean(cosines) == pytest.approx(0.7, abs=0.03)
    assert np.mean(norms) == pytest.approx(1.0, abs=0.04)
    assert np.mean(raw) < 0.65


def test_intervals_of_corrected_cosine_and_norm_cover_at_about_the_nominal_rate() -> None:
    truth = plant_pair(2.0, 0.7, seed=3)
    n_cosine, n_norm, n_simulations = 0, 0, 60
    for seed in range(n_simulations):
        rng = np.random.default_rng(seed)
        splits, weights = (
            corrected.split_halves(60, 4, rng),
            bootstrap.resample_problems(60, 150, rng),
        )
        cells = [sum_cells(contrast) for contrast in plant_contrasts(truth, seed)]
        point = [split_half_directions(c, splits)[0] for c in cells]
        replicates = [split_half_directions(c, splits, weights) for c in cells]
        cosine_value = corrected.noise_corrected_cosine(*point)
        cosines = corrected.noise_corrected_cosines(*replicates)
        norm_value = corrected.noise_corrected_norm(point[0])
        norms = corrected.noise_corrected_norms(replicates[0])
        by_cosine = bootstrap.percentile_interval(cosine_value, cosines, 60)
        by_norm = bootstrap.percentile_interval(norm_value, norms, 60)
        n_cosine += number(by_cosine.low) <= 0.7 <= number(by_cosine.high)
        n_norm += number(by_norm.low) <= 2.0 <= number(by_norm.high)
    assert min(n_cosine, n_norm) >= 0.87 * n_simulations


def test_resampling_rows_instead_of_problems_would_be_too_narrow() -> None:
    truth = plant_pair(2.0, 0.0, seed=4)[:1]
    (contrast,) = plant_contrasts(truth, seed=4, rows_per_problem=30, problem_noise=1.0)
    by_row = dataclasses.replace(contrast, problem=torch.arange(len(contrast.problem)))
    spread = {}
    for name, one in (("problem", contrast), ("row", by_row)):
        cells = sum_cells(one)
        weights = bootstrap.resample_problems(cells.n_problems, 200, np.random.default_rng(0))
        spread[name] = estimator.resample_directions(cells, weights).std(axis=0).mean()
    assert spread["row"] < 0.7 * spread["problem"]


def test_shuffled_labels_have_neither_norm_nor_cosine() -> None:
    truth = plant_pair(2.0, 0.0, seed=5)[:1]
    norms, cosines = [], []
    for seed in range(40):
        (found,) = plant_contrasts(truth, seed)
        shuffled = estimator.shuffle_within(found.is_positive, found.stratum, generator(seed))
        sizes = (found.stratum[labels].bincount() for labels in (found.is_positive, shuffled))
        assert torch.equal(*sizes)
        null = dataclasses.replace(found, is_positive=shuffled)
        splits = corrected.split_halves(60, 10, np.random.default_rng(seed))
        halves = split_half_directions(sum_cells(null), splits)[0]
        norms.append(corrected.noise_corrected_norm(halves) or 0.0)
        cosines.append(cosine(estimate(null).direction, truth[0]))
    assert np.mean(norms) < 0.3
    assert abs(np.mean(cosines)) < 0.15


def test_moving_all_rows_changes_nothing_and_scaling_them_scales_the_direction() -> None:
    (contrast,) = plant_contrasts(plant_pair(1.0, 0.0, seed=6)[:1], seed=6)
    rows, is_positive = contrast.activations, contrast.is_positive
    order = torch.randperm(len(rows), generator=generator(6))
    direction = estimate(contrast).direction
    stratum, problem = contrast.stratum[order], contrast.problem[order]
    moved = matched(2 * rows[order] + 7, is_positive[order], stratum, problem)
    swapped = matched(rows, ~is_positive, contrast.stratum, contrast.problem)
    assert torch.allclose(estimate(moved).direction, 2 * direction)
    assert torch.allclose(estimate(swapped).direction, -direction)


def test_one_stratum_is_the_plain_difference_and_all_rows_shorten_it() -> None:
    (contrast,) = plant_contrasts(plant_pair(1.0, 0.0, seed=7)[:1], seed=7)
    rows, is_positive = contrast.activations, contrast.is_positive
    alone = torch.zeros_like(contrast.stratum)
    plain = estimate(matched(rows, is_positive, alone, contrast.problem)).direction
    against_all = Contrast(rows, is_positive, alone, contrast.problem, "all")
    mean = rows[is_positive].mean(0)
    assert torch.allclose(plain, mean - rows[~is_positive].mean(0))
    assert torch.allclose(estimate(against_all).direction, mean - rows.mean(0))


def test_directions_from_sums_equal_directions_from_repeated_rows() -> None:
    (contrast,) = plant_contrasts(plant_pair(1.0, 0.0, seed=8)[:1], seed=8, n_problems=12)
    cells = sum_cells(contrast)
    weights = bootstrap.resample_problems(12, 5, np.random.default_rng(8))
    for found, draw in zip(estimator.resample_directions(cells, weights), weights, strict=True):
        times = torch.from_numpy(draw).long()[contrast.problem]
        columns = (contrast.activations, contrast.is_positive, contrast.stratum, contrast.problem)
        repeated = matched(*(column.repeat_interleave(times, dim=0) for column in columns))
        assert found == pytest.approx(estimate(repeated).direction.numpy())
    splits = corrected.split_halves(12, 3, np.random.default_rng(8))
    halves = split_half_directions(cells, splits, weights)
    assert halves.shape == (5, 3, 2, D_MODEL)
    second = estimator.resample_directions(cells, weights * ~splits[1])
    assert halves[:, 1, 1] == pytest.approx(second)


def test_strata_without_both_classes_are_dropped_and_reported() -> None:
    activations = torch.tensor([[1.0], [3.0], [100.0], [0.0], [4.0], [4.0]])
    is_positive = torch.tensor([False, True, True, False, True, True])
    stratum = torch.tensor([0, 0, 1, 2, 2, 2])
    found = estimate(matched(activations, is_positive, stratum, torch.arange(6)))
    # Harmonic means of the class sizes: 1 for (1, 1) and 4/3 for (1, 2).
    assert float(found.direction) == pytest.approx((2 * 1 + 4 * 4 / 3) / (1 + 4 / 3))
    assert found.counts == Counts(3, 2, 2, 1 - 5 / 6)
    cells = sum_cells(matched(activations, is_positive, stratum, stratum))
    assert np.isnan(estimator.resample_directions(cells, np.array([[0.0, 1.0, 0.0]]))).all()


def test_means_are_taken_in_float64_whatever_the_activations_are() -> None:
    half = torch.full((4096, 1), 0.1, dtype=torch.bfloat16)
    zero = torch.zeros(4096, 1, dtype=torch.bfloat16)
    assert float(difference_of_means(half, zero)) == float(half[0].double())
    label, constant = torch.arange(8192) < 4096, torch.zeros(8192, dtype=torch.long)
    found = estimate(matched(torch.cat([half, zero]), label, constant, constant)).direction
    assert float(found) == pytest.approx(float(half[0].double()), rel=1e-12)


def plant_windows(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Windows of 200 sentences with one direction before and another one from each start on."""
    draw = generator(seed)
    windows = torch.randn(200, len(OFFSETS), D_MODEL, generator=draw)
    is_positive = torch.arange(200) % 4 == 0
    before, event = OFFSETS < -1, OFFSETS >= -1
    windows[:, before] += 5 * is_positive[:, None, None] * torch.eye(D_MODEL)[0]
    windows[:, event] += 5 * is_positive[:, None, None] * torch.eye(D_MODEL)[1]
    present = torch.rand(200, len(OFFSETS), generator=draw) < 0.8
    windows[~present] = float("nan")
    return windows, present, is_positive, torch.arange(200) // 5


def test_ward_reads_before_the_sentence_and_venhoff_its_own_words() -> None:
    windows, present, is_positive, problem = plant_windows(9)
    before = estimate(forms.ward(windows, present, OFFSETS, is_positive, problem)).direction
    n_tokens = torch.full((200,), 6)
    event = forms.venhoff(windows, present, OFFSETS, n_tokens, is_positive, problem)
    assert cosine(before, torch.eye(D_MODEL)[0]) > 0.98
    assert cosine(estimate(event).direction, torch.eye(D_MODEL)[1]) > 0.98
    # A quarter of the sentences is in the positive and in the overall mean.
    assert float(before[0]) == pytest.approx(5 * 0.75, abs=0.2)


def test_windows_hold_the_tokens_of_their_definition_only() -> None:
    windows = OFFSETS.double().repeat(2, 1)[..., None].contiguous()
    present = torch.ones(2, len(OFFSETS), dtype=torch.bool)
    labels, problem = torch.tensor([True, False]), torch.tensor([0, 0])
    inside = forms.ward(windows, present, OFFSETS, labels, problem)
    assert inside.activations.flatten().tolist() == [np.mean(range(-13, -7))] * 2
    n_tokens = torch.tensor([3, 40])
    event = forms.venhoff(windows, present, OFFSETS, n_tokens, labels, problem)
    assert forms.VENHOFF_WINDOW == (-1, 10)
    assert event.activations.flatten().tolist() == [np.mean([-1, 0, 1, 2]), np.mean(range(-1, 11))]


def test_sentences_without_a_token_in_the_window_are_left_out() -> None:
    windows, present, is_positive, problem = plant_windows(10)
    present[:50, OFFSETS < 0] = False
    assert len(forms.ward(windows, present, OFFSETS, is_positive, problem).activations) == 150
    with pytest.raises(ValueError, match="in the window of some of 200 sentences"):
        forms.ward(windows, torch.zeros_like(present), OFFSETS, is_positive, problem)


def test_action_raises_the_marker_over_the_alternative_through_the_final_norm() -> None:
    draw = generator(11)
    w_u, gain = torch.randn(20, D_MODEL, generator=draw), torch.rand(D_MODEL, generator=draw)
    u = action(w_u, gain, [3], [5])

    x = torch.randn(D_MODEL, generator=draw).double().requires_grad_()
    logits = w_u.double() @ (gain.double() * x / x.square().mean().sqrt())
    (gradient,) = torch.autograd.grad(logits[3] - logits[5], x)
    # Up to the norm's own scale, u is the gradient without its part along x.
    tangent = u - (u @ x.detach()) / (x.detach() @ x.detach()) * x.detach()
    assert cosine(gradient, tangent) == pytest.approx(1.0)
    both = action(w_u, gain, [3, 4], [5])
    assert torch.allclose(both, (u + action(w_u, gain, [4], [5])) / 2)


def test_random_directions_have_norm_one_and_repeat_with_their_seed() -> None:
    found = random_directions(400, 64, generator(12))
    assert torch.allclose(found.norm(dim=1), torch.ones(400, dtype=torch.float64))
    assert torch.equal(found, random_directions(400, 64, generator(12)))
    between = (found @ found.T)[~torch.eye(400, dtype=torch.bool)]
    assert float(between.std()) == pytest.approx(1 / 8, abs=0.005)


def test_the_found_direction_separates_new_rows_within_strata() -> None:
    truth = plant_pair(2.0, 0.0, seed=13)[:1]
    (train,) = plant_contrasts(truth, seed=13, confound=3.0)
    (dev,) = plant_contrasts(truth, seed=14, confound=3.0)
    scores = project(dev.activations, 3 * estimate(train).direction)
    random_direction = random_directions(1, D_MODEL, generator(0))[0]
    random = project(dev.activations, random_direction)
    labels, stratum = dev.is_positive.numpy(), dev.stratum.numpy()
    assert number(auroc.auroc(scores.numpy(), labels, stratum)) > 0.85
    assert number(auroc.auroc(random.numpy(), labels, stratum)) < 0.7
    assert float(project(truth, truth[0])) == pytest.approx(2.0)


def test_wrong_input_is_told() -> None:
    rows, labels = torch.zeros(4, 2), torch.tensor([True, True, False, False])
    stratum = torch.tensor([0, 0, 1, 1])
    contrast = matched(rows, labels, stratum, stratum)
    with pytest.raises(ValueError, match=r"stratum with both classes, found none \(2 positive"):
        estimate(contrast)
    with pytest.raises(ValueError, match="found 4 positive and 0 negative"):
        difference_of_means(rows, rows[:0])
    with pytest.raises(ValueError, match="weights for 2 problems, found 3"):
        estimator.resample_directions(sum_cells(contrast), np.ones((1, 3)))


def test_weights_count_rows_as_often_as_they_say() -> None:
    (contrast,) = plant_contrasts(plant_pair(2.0, 0.5, 3)[:1], 3)
    weight = torch.randint(1, 4, (len(contrast.stratum),), generator=generator(0))
    repeated = [
        getattr(contrast, name).repeat_interleave(weight, dim=0)
        for name in ("activations", "is_positive", "stratum", "problem")
    ]
    weighted = dataclasses.replace(contrast, weight=weight.double())
    expected, found = estimate(matched(*repeated)), estimate(weighted)
    torch.testing.assert_close(found.direction, expected.direction)
    assert found.counts == expected.counts
    ones = dataclasses.replace(contrast, weight=torch.ones(len(weight)))
    assert torch.equal(estimate(ones).direction, estimate(contrast).direction)


def test_rows_of_no_weight_might_as_well_not_be_there() -> None:
    (contrast,) = plant_contrasts(plant_pair(2.0, 0.5, 4)[:1], 4)
    kept = torch.rand(len(contrast.stratum), generator=generator(1)) < 0.7
    fewer = matched(
        contrast.activations[kept], contrast.is_positive[kept],
        contrast.stratum[kept], contrast.problem[kept],
    )  # fmt: skip
    found = estimate(dataclasses.replace(contrast, weight=kept.double()))
    torch.testing.assert_close(found.direction, estimate(fewer).direction)


def test_a_projected_direction_has_nothing_in_the_span_and_the_rest_unchanged() -> None:
    rows = torch.randn(3, D_MODEL, generator=generator(0)).double()
    rows[2] = rows[0] - 2 * rows[1]
    vectors = torch.randn(5, 2, D_MODEL, generator=generator(1))
    found = without_span(vectors, rows)
    assert (found @ rows.double().T).abs().max() < 1e-10
    torch.testing.assert_close(without_span(found, rows), found)
    removed = vectors.double() - found
    assert torch.linalg.matrix_rank(removed.reshape(-1, D_MODEL), atol=1e-9) == 2


def test_directions_of_shuffled_labels_are_those_of_the_relabelled_contrast() -> None:
    (contrast,) = plant_contrasts(plant_pair(2.0, 0.5, 5)[:1], 5)
    labels = torch.stack(
        [
            estimator.shuffle_within(contrast.is_positive, contrast.stratum, generator(seed))
            for seed in (1, 2)
        ]
    )
    weights = np.ones((1, 60))
    found = estimator.shuffled_directions(contrast, labels, weights)
    for number_, label in enumerate(labels):
        expected = estimate(dataclasses.replace(contrast, is_positive=label)).direction
        np.testing.assert_allclose(found[number_, 0], expected.numpy(), atol=1e-12)
