"""A planted direction is found where it is, and what is chosen on dev is recorded."""

import numpy as np
import pytest
import torch
from planted_probes import D_MODEL, Planted, PlantedStore, embed, fit, plant_points

from backtracking.probing.baselines import BASELINES, baseline_features, best_baselines
from backtracking.probing.grid import activations, select
from backtracking.probing.probes import Fitting, Series

FITTING = Fitting((0.001, 0.01, 0.1), 1e-5)


@pytest.fixture(scope="module")
def planted() -> Planted:
    """Decisions whose label nothing but activations tells."""
    return plant_points(np.random.default_rng(0))


def test_the_direction_that_was_planted_is_the_probes(planted: Planted) -> None:
    store = PlantedStore(planted, {(1, -2): 3.0}, np.random.default_rng(1))
    probes = fit(planted, store, FITTING, baselines=False)
    truth = torch.zeros(D_MODEL, dtype=torch.float64)
    truth[1] = 1.0
    found = probes[Series("base", "over", 1)]
    assert torch.cosine_similarity(found.weight[5], truth, dim=0) > 0.95
    assert found.dev_auroc[5] > 0.95
    elsewhere = np.delete(found.dev_auroc, 5)
    assert (np.abs(elsewhere - 0.5) < 0.15).all()


def test_portions_of_offsets_change_nothing(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PlantedStore(planted, {(0, -4): 1.0}, np.random.default_rng(2))
    fitting = Fitting((0.001, 0.1), 1e-10)
    first = fit(planted, store, fitting, baselines=False)
    monkeypatch.setattr("backtracking.probing.grid._BATCH_BYTES", 8 * 480 * D_MODEL * 3)
    second = fit(planted, store, fitting, baselines=False)
    assert list(first) == list(second)
    for series, one in first.items():
        assert torch.allclose(one.weight, second[series].weight, atol=1e-7)


def test_activations_of_an_absent_token_are_zeros_and_said_to_be_absent(planted: Planted) -> None:
    store = PlantedStore(planted, {}, np.random.default_rng(3))
    store.has = lambda trace, position: position - store.at[trace] < -4  # type: ignore[method-assign]
    ((_, values, present),) = activations(store, 0, planted.points, np.arange(10))
    assert present.tolist() == [[True] * 10] * 3 + [[False] * 10] * 5
    assert (values[3:] == 0).all() and (values[:3] != 0).any()


def test_selection_names_the_best_cell_and_every_choice(planted: Planted) -> None:
    store = PlantedStore(planted, {(1, -2): 3.0}, np.random.default_rng(4))
    chosen = select(planted.points, fit(planted, store, FITTING), FITTING)
    assert chosen.chosen_on == "dev"
    assert [(one.layer, one.offset) for one in chosen.best] == [(1, -2)]
    assert len(chosen.cells) == 2 * 8
    for one in chosen.cells:
        assert one.penalty in FITTING.penalties and one.baseline in BASELINES
        assert one.edge == {0.001: "smallest", 0.01: "inside", 0.1: "largest"}[one.penalty]
    quiet = [one.penalty for one in chosen.cells if (one.layer, one.offset) != (1, -2)]
    assert quiet.count(0.1) > len(quiet) / 2


def test_the_best_baseline_is_the_one_that_the_label_depends_on() -> None:
    planted = plant_points(np.random.default_rng(5), by_position=4.0)
    store = PlantedStore(planted, {}, np.random.default_rng(8))
    fitted = fit(planted, store, FITTING)
    baselines = {series: one for series, one in fitted.items() if series.source in BASELINES}
    assert set(best_baselines(baselines, "base", "over")) <= {"position", "together"}
    assert {series.source for series in baselines} == set(BASELINES)
    assert {series.role for series in baselines if series.source == "embedding"} == {"base"}


def test_embeddings_are_those_of_the_tokens_and_one_hot_tells_no_less(planted: Planted) -> None:
    points = planted.points
    rows = np.arange(len(points.decisions))
    found = baseline_features(points, "embedding", rows, embed())
    assert (found[2, 7] == embed()[points.tokens[7, 2]]).all()
    features = {
        name: baseline_features(points, name, rows) for name in BASELINES if name != "embedding"
    }
    assert [len(features[name]) for name in ("position", "words", "token")] == [1, 1, 8]
    widths = {name: one.shape[2] for name, one in features.items()}
    assert widths.pop("together") == sum(widths.values())
    few = baseline_features(points, "together", rows[5:9])
    assert (few == features["together"][:, 5:9]).all()
    token = features["token"][2].double()
    least = torch.linalg.lstsq(token, found[2].double(), driver="gelsd").solution
    assert torch.allclose(token @ least, found[2].double(), atol=1e-5)


def test_a_split_without_a_class_has_no_probe_and_no_score() -> None:
    planted = plant_points(np.random.default_rng(6))
    planted.is_positive[planted.points.decisions.split == "train"] = True
    store = PlantedStore(planted, {}, np.random.default_rng(7))
    probes = fit(planted, store, FITTING, baselines=False)
    one = probes[Series("base", "over", 0)]
    assert np.isnan(one.penalty).all() and np.isnan(one.dev_auroc).all()
    assert np.isnan(one.score(torch.zeros(8, 3, D_MODEL))).all()
