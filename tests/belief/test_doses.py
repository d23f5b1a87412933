"""Doses on planted curves: the slope is recovered, the bound is respected."""

import numpy as np
import pytest
import torch
from belief_helpers import D_MODEL, DOMAIN, make_pairs, make_words, save_world_model

from backtracking.belief.doses import Candidate, Marker, match, match_doses, orientation
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind

GRID = np.tile([0.25, 0.5, 1.0, 2.0, 4.0], (3, 1))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    torch.set_num_threads(1)
    return loading.load(save_world_model(tmp_path_factory.mktemp("model")))


@pytest.fixture(scope="module")
def pairs() -> list[MinimalPair]:
    return [pair for pair in make_pairs(8, "dev") if pair.donor_ids]


def test_the_dose_is_the_target_over_a_planted_slope() -> None:
    slopes, target = np.array([0.5, 1.0, 3.0]), np.array([0.6, 2.9, 0.3])
    found = match(lambda dose: slopes[:, None] * dose, target, GRID, 2)
    np.testing.assert_allclose(found.dose, target / slopes, rtol=1e-6)
    np.testing.assert_allclose(found.change, target, rtol=1e-6)
    assert found.reached.all()


def test_a_curved_response_is_met_closely_at_its_first_crossing() -> None:
    target = np.array([0.3, 0.7, 0.95])
    found = match(lambda dose: np.sin(dose), target, GRID, 6)
    np.testing.assert_allclose(found.dose, np.arcsin(target), atol=1e-3)


def test_a_direction_that_cannot_reach_it_is_said_to_with_its_maximum() -> None:
    """A hill of height 1 at dose 3, between the grid's doses."""
    target = np.array([2.0, 1.03, 0.5])
    found = match(lambda dose: np.exp(-((dose - 3) ** 2)), target, GRID, 8)
    assert found.reached.tolist() == [False, True, True]
    np.testing.assert_allclose(found.change[:2], 1.0, atol=0.02)
    np.testing.assert_allclose(found.dose[:2], 3.0, atol=0.2)
    assert found.dose[2] < 3 and found.change[2] == pytest.approx(0.5, abs=0.01)


def test_where_the_patch_does_nothing_there_is_no_dose() -> None:
    found = match(lambda dose: dose, np.array([0.0, -1.0, 1.0]), GRID, 2)
    assert found.dose.tolist() == [0, 0, 1]
    assert found.reached.tolist() == [False, False, True]


def test_a_dose_found_on_a_model_changes_the_marker_by_what_it_says(
    loaded: LoadedModel, pairs: list[MinimalPair]
) -> None:
    """Towards the donors, whichever of the two are the dead ends."""
    vectors = torch.randn(6, D_MODEL, generator=torch.Generator().manual_seed(0))
    candidates = [Candidate(str(n), n % 3, vector) for n, vector in enumerate(vectors)]
    words, multiples = make_words(), (0.25, 0.5, 1.0, 2.0)
    n_dosed = 0
    for sign in (1, -1):
        marker = Marker(loaded, pairs, words, sign, 64)
        wanted = marker.patch_changes()
        found = match_doses(loaded, pairs, words, sign, candidates, multiples, 3, 64)
        for one, dose in zip(candidates, found, strict=True):
            assert dose.target == pytest.approx(wanted[one.layer])
            if dose.norm == 0:
                continue
            n_dosed += 1
            change = marker.curve([one])(np.array([[dose.norm]]))
            assert change[0, 0] == pytest.approx(dose.change, abs=1e-4)
            assert dose.mean_residual_norms <= 2.0 + 1e-9
            assert dose.reached == (dose.change >= 0.95 * dose.target)
    assert n_dosed


def test_a_direction_has_norm_one_whatever_its_length() -> None:
    one = Candidate("v", 0, torch.full((D_MODEL,), 1e-3))
    assert one.unit.norm() == pytest.approx(1.0, abs=1e-6)


def pair(kind: str, donor_kind: str | None) -> MinimalPair:
    donor_ids = [1, 9, 3] if donor_kind else []
    changed = [1] if donor_kind else []
    return MinimalPair(
        "t@2", "t", "p", "dev", kind, donor_kind, 1, [1, 2, 3], donor_ids, changed, []
    )


MISS, HIT, ALIVE = Kind("miss", "dead", True), Kind("hit", "solved", True), Kind("x", "live", False)


def test_readouts_point_to_the_dead_end_whichever_side_it_is_on() -> None:
    kinds = (MISS, HIT, ALIVE)
    assert orientation([pair("miss", "hit"), pair("miss", None)], kinds) == -1
    assert orientation([pair("x", "miss")], kinds) == 1
    assert orientation(make_pairs(4), DOMAIN.kinds) == 1
    for mixed in ([pair("miss", "hit"), pair("x", "miss")], [pair("x", "hit")]):
        with pytest.raises(ValueError, match="all dead ends"):
            orientation(mixed, kinds)
