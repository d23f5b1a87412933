"""The forward pass of the benchmark of pairs is the model's, and it finds what is planted."""

import numpy as np
import pytest
import torch
from belief_helpers import ID_BY_WORD, make_pairs
from tiny_study import make_model

from backtracking.models.edits import patch
from backtracking.models.loading import LoadedModel
from benchmarks.pair_effects import (
    LEGAL,
    Nulls,
    Points,
    Stop,
    auroc,
    bars_missed,
    direction,
    set_projection,
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return make_model(tmp_path_factory.mktemp("model"), scale=20.0)


@torch.inference_mode()
def plain(loaded: LoadedModel, ids: list[int], layer: int, state: torch.Tensor, at: int) -> tuple:
    """P_back and P_legal by passes over the whole prefix, with the state written in."""
    found = []
    for more in ([], [ID_BY_WORD["Wait"]]):
        row = torch.tensor([[*ids, *more]])
        where = torch.arange(row.shape[1])[None] == at
        with patch(loaded.blocks[layer], state.expand(*row.shape, -1), where):
            found.append(loaded.model(row).logits[0, -1].softmax(dim=0))
    first, wait = found
    stays = 1 - wait[ID_BY_WORD["for"]]
    p_back = first[[ID_BY_WORD["No"], ID_BY_WORD["Undo"]]].sum() + first[ID_BY_WORD["Wait"]] * stays
    return float(p_back), float(first[[ID_BY_WORD[word] for word in LEGAL]].sum())


@pytest.mark.parametrize("layer", [0, 1])
def test_what_follows_an_edited_stop_is_what_the_whole_model_says(
    loaded: LoadedModel, layer: int
) -> None:
    ids = make_pairs(3)[0].clean_ids
    stop = Stop(loaded, ids)
    states = torch.stack([stop.resid[layer], 3 * torch.randn(loaded.d_model)])
    p_back, p_legal = stop.read(layer, states)
    for row, state in enumerate(states):
        expected = plain(loaded, ids, layer, state, len(ids) - 1)
        assert (p_back[row], p_legal[row]) == pytest.approx(expected, abs=1e-6)


def test_the_affine_edit_sets_the_projection_and_nulls_move_as_far(
    monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel
) -> None:
    stop, v = Stop(loaded, make_pairs(3)[0].clean_ids), np.eye(loaded.d_model)[3]
    seen = []

    def read(_layer: int, states: torch.Tensor) -> np.ndarray:
        seen.append(states)
        return np.ones((2, len(states)))

    monkeypatch.setattr(stop, "read", read)
    points = np.random.default_rng(0).normal(size=(60, loaded.d_model))
    nulls = Nulls.draw(points, np.arange(60) < 30, v, 0)
    set_projection([stop], 1, v, 2.0, nulls)
    moved = (seen[0][1:] - seen[0][0]).double().numpy()
    assert float(seen[0][1] @ torch.eye(loaded.d_model)[3]) == pytest.approx(2.0, abs=1e-5)
    assert np.linalg.norm(moved, axis=1) == pytest.approx(np.linalg.norm(moved[0]), rel=1e-4)
    assert np.abs(nulls.covariance @ v).max() < 1e-9
    assert len(seen[0]) == 2 + 2 * 399


def test_a_planted_direction_is_found_within_strata_of_the_total() -> None:
    """Totals shift the states along another axis, and over points have the higher totals."""
    generator = np.random.default_rng(1)
    is_over = generator.random(900) < 0.5
    total = generator.integers(5, 25, 900) + 8 * is_over
    states = 0.1 * generator.normal(size=(900, 8))
    states[:, 0] += is_over
    states[:, 1] += total
    points = Points(np.zeros(900), np.zeros(900), is_over, total)
    found = direction(states, points)
    crude = states[is_over].mean(axis=0) - states[~is_over].mean(axis=0)
    assert found[0] > 0.6 > 0.2 > crude[0] / np.linalg.norm(crude)
    assert auroc(states[:, 0], points) == pytest.approx(1.0)
    assert auroc(generator.normal(size=900), points) == pytest.approx(0.5, abs=0.1)


def test_bars_name_what_a_pair_does_not_reach() -> None:
    row: dict[str, object] = {
        "base_share": 0.5, "other_effect": 0.01, "valid": 0.99, "parsed": 1.0, "solved": 0.9,
        "acts_dead": 0.58, "acts_live": 0.13, "p_over": 0.5, "p_alive": 0.01,
    }  # fmt: skip
    for key, effect in (("raise", 0.3), ("lower", -0.3)):
        for name in ("base", "own"):
            row |= {f"{name}_{key}_effect": effect, f"{name}_{key}_legal": 0.95}
            row |= {f"{name}_{key}_p_{null}": 0.0025 for null in ("isotropic", "covariance")}
    assert bars_missed(row) == []
    worse = row | {"base_share": 0.2, "own_lower_p_isotropic": 0.2, "base_raise_legal": 0.8}
    assert bars_missed(worse) == ["share", "legal", "own-lower"]
    assert bars_missed(row | {"base_lower_effect": 0.3, "other_effect": 0.1}) == [
        "others", "base-lower",
    ]  # fmt: skip
