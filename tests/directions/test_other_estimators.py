"""The shipped directions against planted classes, scikit-learn and finite differences."""

import pytest
import torch
from belief_helpers import D_MODEL, N_LAYERS, make_pairs, make_words, save_world_model
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from backtracking.belief.readouts import ask
from backtracking.directions import other_estimators
from backtracking.models import loading
from backtracking.models.prefixes import Edit

N = 4000


def planted(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of two classes whose noise is larger along some axes; the true difference last."""
    generator = torch.Generator().manual_seed(seed)
    delta = torch.zeros(D_MODEL)
    delta[:2] = 1.5
    scale = torch.ones(D_MODEL)
    scale[0] = 2.0
    is_positive = torch.rand(N, generator=generator) < 0.4
    rows = torch.randn(N, D_MODEL, generator=generator) * scale + is_positive[:, None] * delta
    return rows, is_positive, delta


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(torch.cosine_similarity(a.double(), b.double(), dim=0))


def test_every_estimate_finds_the_planted_difference_with_its_sign() -> None:
    rows, is_positive, delta = planted()
    found, c = other_estimators.estimate(rows, is_positive, *planted(1)[:2], (0.01, 1.0))
    assert c in (0.01, 1.0)
    optimal = delta / torch.tensor([4.0] + [1.0] * (D_MODEL - 1))
    assert cosine(found["difference_of_means"], delta) > 0.99
    assert cosine(found["lda"], optimal) > 0.99
    assert cosine(found["logistic"], optimal) > 0.98
    assert cosine(found["leace"], optimal) > 0.99


def covariance_with_class(rows: torch.Tensor, is_positive: torch.Tensor) -> torch.Tensor:
    return (rows - rows.mean(0)).T @ (is_positive.double() - is_positive.double().mean())


def test_what_leace_reads_erases_the_class_and_moves_rows_the_least() -> None:
    """As its definition says, by W^+ P W; along the difference alone, rows move further."""
    rows, is_positive, _ = planted()
    rows = rows.double()
    delta = rows[is_positive].mean(0) - rows[~is_positive].mean(0)
    centred, read = rows - rows.mean(0), other_estimators.leace(rows, is_positive)
    erased = rows - (centred @ read)[:, None] * delta / (read @ delta)
    values, vectors = torch.linalg.eigh(torch.cov(rows.T, correction=0))
    whiten, back = (vectors * values**power @ vectors.T for power in (-0.5, 0.5))
    seen = whiten @ delta / (whiten @ delta).norm()
    defined = rows - centred @ (back @ torch.outer(seen, seen) @ whiten).T
    torch.testing.assert_close(erased, defined)
    assert covariance_with_class(rows, is_positive).abs().max() > 100
    assert covariance_with_class(erased, is_positive).abs().max() < 1e-8
    unit = delta / delta.norm()
    projected = rows - (centred @ unit)[:, None] * unit
    assert covariance_with_class(projected, is_positive).abs().max() < 1e-8
    assert (erased - rows).square().sum() < 0.95 * (projected - rows).square().sum()


def test_leace_reads_along_the_discriminant_without_shrinkage_also_where_rows_are_flat() -> None:
    rows, is_positive, _ = planted()
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(rows.numpy(), is_positive.numpy())
    ours = other_estimators.leace(rows, is_positive)
    assert cosine(ours, torch.from_numpy(theirs.coef_[0])) > 1 - 1e-6
    flat = torch.cat([rows, rows[:, :1]], dim=1).double()
    found = other_estimators.leace(flat, is_positive)
    assert cosine(found[:-1] + found[-1] * torch.eye(D_MODEL)[0], ours) > 1 - 1e-6


def test_the_discriminant_is_that_of_scikit_learn_up_to_shrinkage() -> None:
    rows, is_positive, _ = planted()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.0).fit(
        rows.numpy(), is_positive.numpy()
    )
    ours = other_estimators.discriminant(rows, is_positive)
    assert cosine(ours, torch.from_numpy(theirs.coef_[0])) > 0.999


def test_the_gradient_is_the_slope_of_the_marker(tmp_path_factory: pytest.TempPathFactory) -> None:
    torch.set_num_threads(1)
    loaded = loading.load(save_world_model(tmp_path_factory.mktemp("model")), dtype="float64")
    pairs, words = [pair for pair in make_pairs(4) if pair.donor_ids][:4], make_words()
    found = other_estimators.gradient(loaded, [one.clean_ids for one in pairs], words.marker)
    generator = torch.Generator().manual_seed(0)
    step = 1e-2
    for layer in range(N_LAYERS):
        unit = torch.randn(D_MODEL, generator=generator)
        unit /= unit.norm()
        rows = [Edit("add", layer, sign * step * unit) for sign in (1, -1)]
        up, down, _ = ask(loaded, pairs, words, rows, 10).a.mean(axis=1)
        slope = float(found[layer].double() @ unit.double())
        assert slope == pytest.approx((up - down) / (2 * step), rel=2e-2, abs=1e-3)
