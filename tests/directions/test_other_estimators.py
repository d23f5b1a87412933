"""The shipped directions against planted classes, scikit-learn and finite differences."""

import numpy as np
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
    found, c = other_estimators.estimate(
        rows, is_positive, *planted(1)[:2], (0.01, 1.0), torch.Generator().manual_seed(0)
    )
    assert c in (0.01, 1.0)
    optimal = delta / torch.tensor([4.0] + [1.0] * (D_MODEL - 1))
    assert cosine(found["difference_of_means"], delta) > 0.99
    assert cosine(found["whitened"], optimal) > 0.99
    assert cosine(found["logistic"], optimal) > 0.98
    assert cosine(found["pca"], delta) > 0.7


def test_whitened_is_the_discriminant_of_scikit_learn_up_to_shrinkage() -> None:
    rows, is_positive, _ = planted()
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.0).fit(
        rows.numpy(), is_positive.numpy()
    )
    ours = other_estimators.whitened(rows, is_positive)
    assert cosine(ours, torch.from_numpy(theirs.coef_[0])) > 0.999


def test_gradients_are_the_slopes_of_the_readouts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    torch.set_num_threads(1)
    loaded = loading.load(save_world_model(tmp_path_factory.mktemp("model")), dtype="float64")
    pairs, words = [pair for pair in make_pairs(4) if pair.donor_ids][:4], make_words()
    prefixes = [pair.clean_ids for pair in pairs]
    found = other_estimators.gradients(loaded, prefixes, words.marker, words.report)
    generator = torch.Generator().manual_seed(0)
    step = 1e-2
    for layer in range(N_LAYERS):
        unit = torch.randn(D_MODEL, generator=generator)
        unit /= unit.norm()
        rows = [Edit("add", layer, sign * step * unit) for sign in (1, -1)]
        asked = ask(loaded, pairs, words, rows, 2, 10).arms
        for name in ("a", "b"):
            up, down = getattr(asked, name).mean(axis=1)
            slope = float(found[f"gradient_{name}"][layer].double() @ unit.double())
            assert slope == pytest.approx((up - down) / (2 * step), rel=2e-2, abs=1e-3)
    assert not found["gradient_b"][-1].any() and np.isfinite(found["gradient_a"].numpy()).all()
