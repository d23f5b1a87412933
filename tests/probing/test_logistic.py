"""Our solver against scikit-learn's on the same objective, and what it owes its users."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from backtracking.probing import design, logistic
from backtracking.probing.logistic import Search

PENALTIES = (1e-4, 1e-2, 1.0)


def draw(
    cells: int, rows: int, width: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Correlated features of unlike scales, a noisy label of each cell, and weights with zeros."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator, dtype=torch.float64)
    features = torch.randn(cells, rows, width, generator=generator, dtype=torch.float64) @ mix
    features = features * torch.logspace(-1, 1, width, dtype=torch.float64) + 5
    truth = torch.randn(cells, width, generator=generator, dtype=torch.float64)
    scores = ((features - features.mean(1, True)) @ truth[:, :, None])[..., 0]
    p = torch.sigmoid(2 * scores / scores.std(1, keepdim=True))
    labels = (torch.rand(p.shape, generator=generator, dtype=torch.float64) < p).double()
    weights = torch.randint(0, 3, p.shape, generator=generator).double()
    n = len(PENALTIES)
    return features, labels[:, :, None].repeat(1, 1, n), weights[:, :, None].repeat(1, 1, n)


def by_scikit_learn(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: float
) -> np.ndarray:
    """Coefficients and intercept on the features as given, from its own solver."""
    used = features[weights > 0]
    mean, scale = used.mean(axis=0), used.std(axis=0)
    model = LogisticRegression(C=1 / (penalty * weights.sum()), tol=1e-12, max_iter=10_000)
    model.fit((features - mean) / scale, labels, sample_weight=weights)
    weight = model.coef_[0] / scale
    return np.array([*weight, np.ravel(model.intercept_)[0] - weight @ mean])


@pytest.mark.parametrize("width", [6, 40])
def test_coefficients_are_those_of_scikit_learn(width: int) -> None:
    features, labels, weights = draw(3, 200, width)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    fits = logistic.fit(features, labels, weights, penalties, Search(1e-10))
    assert fits.gradient.max() <= 1e-10
    for cell in range(3):
        for number, penalty in enumerate(PENALTIES):
            expected = by_scikit_learn(
                features[cell].numpy(),
                labels[cell, :, 0].numpy(),
                weights[cell, :, 0].numpy(),
                penalty,
            )
            found = [*fits.weight[cell, :, number].tolist(), float(fits.intercept[cell, number])]
            assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("rank", [2, 64])
def test_wide_cells_in_chunks_of_half_precision_agree_with_narrow_ones_at_once(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows streamed, from a type of fewer bits, preconditioned by the largest directions."""
    features, labels, weights = draw(2, 300, 12, seed=1)
    features = features.to(torch.bfloat16)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    whole = logistic.fit(features.double(), labels, weights, penalties, Search(1e-9))
    monkeypatch.setattr(design, "CHUNK_BYTES", 8 * 12 * 50)
    monkeypatch.setattr(design, "_DENSE", 0)
    monkeypatch.setattr(design, "_RANK", rank)
    streamed = logistic.fit(features, labels, weights, penalties, Search(1e-9, 5000))
    assert torch.allclose(streamed.weight, whole.weight, rtol=1e-4, atol=1e-7)
    assert (streamed.n_passes > whole.n_passes) == (rank < 12)


def test_a_few_massive_directions_do_not_make_the_search_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = torch.Generator().manual_seed(3)
    common = torch.randn(600, 4, generator=generator)
    features = torch.randn(1, 600, 60, generator=generator)
    features += 30 * common @ torch.randn(4, 60, generator=generator)
    labels = (common[:, :1] + torch.randn(600, 1, generator=generator) > 0)[None].double()
    monkeypatch.setattr(design, "_DENSE", 0)
    passes = []
    for rank in (1, 16):
        monkeypatch.setattr(design, "_RANK", rank)
        found = logistic.fit(
            features, labels, torch.ones_like(labels), torch.tensor([1e-3]), Search(1e-7)
        )
        assert found.gradient.max() <= 1e-7
        passes.append(found.n_passes)
    assert passes[1] < passes[0] / 2


@pytest.mark.parametrize(("rows", "constant"), [(5, 0), (40, 30), (3, 29)])
def test_wide_cells_of_few_rows_or_constant_features_are_fitted(
    rows: int, constant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = torch.randn(1, rows, 30, generator=torch.Generator().manual_seed(4))
    features[:, :, :constant] = 7.0
    labels = (torch.arange(rows) % 2 == 0).double()[None, :, None]
    cell = (features, labels, torch.ones_like(labels), torch.tensor([1e-2]), Search(1e-8))
    dense = logistic.fit(*cell)
    monkeypatch.setattr(design, "_DENSE", 0)
    wide = logistic.fit(*cell)
    assert wide.gradient.max() <= 1e-8
    assert torch.allclose(wide.weight, dense.weight, rtol=1e-4, atol=1e-6)
    assert not wide.weight[0, :constant].any()


def test_fits_do_not_depend_on_the_company_they_are_made_in() -> None:
    features, labels, weights = draw(5, 150, 8, seed=2)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    together = logistic.fit(features, labels, weights, penalties, Search(1e-9))
    alone = logistic.fit(features[3:4], labels[3:4, :, 1:2], weights[3:4, :, 1:2], penalties[1:2])
    assert torch.allclose(together.weight[3, :, 1], alone.weight[0, :, 0], rtol=1e-3, atol=1e-6)


def test_scale_and_offset_of_a_feature_change_nothing_that_is_predicted() -> None:
    features, labels, weights = draw(1, 150, 5, seed=3)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    first = logistic.fit(features, labels, weights, penalties, Search(1e-9)).score(features)
    moved = features * torch.tensor([1e3, 1.0, 1e-3, 2.0, 1.0], dtype=torch.float64) - 40
    second = logistic.fit(moved, labels, weights, penalties, Search(1e-9)).score(moved)
    assert torch.allclose(first, second, atol=1e-5)


def test_a_constant_feature_and_rows_without_weight_have_no_say() -> None:
    features, labels, weights = draw(1, 150, 5, seed=4)
    features[:, :, 2] = 7.0
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    first = logistic.fit(features, labels, weights, penalties)
    assert (first.weight[0, 2] == 0).all()
    features[weights[:, :, 0] == 0] = 100.0
    features[:, :, 2] = torch.where(weights[:, :, 0] == 0, features[:, :, 2], 7.0)
    second = logistic.fit(features, labels, weights, penalties)
    assert torch.allclose(first.weight, second.weight)


def test_classes_that_a_plane_separates_have_finite_coefficients() -> None:
    features = torch.linspace(-1, 1, 80, dtype=torch.float64)[None, :, None].repeat(1, 1, 3)
    labels = (features[:, :, :1] > 0).double()
    fits = logistic.fit(
        features, labels, torch.ones_like(labels), torch.tensor([1e-6], dtype=torch.float64)
    )
    assert fits.gradient.max() <= 1e-6
    assert torch.isfinite(fits.weight).all()
    assert ((fits.score(features) > 0).double() == labels).all()


def test_a_search_that_ends_too_early_says_so() -> None:
    features, labels, weights = draw(1, 100, 6)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    fits = logistic.fit(features, labels, weights, penalties, Search(1e-12, 3))
    assert fits.n_passes == 3
    assert fits.gradient.max() > 1e-12


def test_a_missing_class_or_a_penalty_of_zero_is_told() -> None:
    features, labels, weights = draw(2, 50, 4)
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    with pytest.raises(ValueError, match="penalties above 0"):
        logistic.fit(features, labels, weights, penalties * 0)
    labels[1] = 1
    with pytest.raises(ValueError, match="found weights .* and 0 in fit 0 of cell 1"):
        logistic.fit(features, labels, weights, penalties)
