"""What probes earn on test problems: the planted, nothing for position, and never above truth."""

from dataclasses import replace

import numpy as np
import pytest
from planted_probes import BOOTSTRAP, Planted, PlantedStore, embed, fit, plant_points

from backtracking.probing.asked import ask, require_no_leak
from backtracking.probing.measures import Measured, find_earliest, measure_jobs
from backtracking.probing.probes import Fitting
from backtracking.probing.targets import ACTION, Task
from backtracking.records.rows.probe import Ceiling
from backtracking.records.rows.table import first
from backtracking.statistics.auroc import auroc
from lifeboat.stage.errors import UserError

FITTING = Fitting((0.001, 0.1), 1e-4)


def measured(planted: Planted, store: PlantedStore) -> Measured:
    """Fitted on train, chosen on dev, measured on test."""
    p_writer = np.full(len(planted.is_positive), np.nan)
    fitted = fit(planted, store, FITTING)
    stores, embeddings = {"base": store}, {"base": embed()}
    jobs = measure_jobs(planted.points, stores, embeddings, p_writer, fitted, BOOTSTRAP)
    found = [job() for job in jobs]
    return [row for rows, _ in found for row in rows], [one for _, its in found for one in its]


def test_a_direction_planted_from_an_offset_on_has_that_offset_as_its_earliest() -> None:
    planted = plant_points(np.random.default_rng(0), n_problems=150)
    sizes = {(1, offset): 2.0 for offset in (-3, -2, -1, 0)} | {(1, -7): 2.0}
    rows, _ = measured(planted, PlantedStore(planted, sizes, np.random.default_rng(1)))
    found = {(one.layer, one.pairs): one.earliest for one in find_earliest(rows, {"decision": 0})}
    assert found == {(0, "all"): None, (0, "absent"): None, (1, "all"): -3, (1, "absent"): -3}
    sooner = first(rows, layer=1, offset=-7, pairs="all")
    assert sooner and sooner.band_low and sooner.band_low > 0
    # What stands behind the last offset is the event itself and does not count.
    assert find_earliest(rows, {"decision": -4})[2].earliest is None


def test_rows_are_paired_differences_on_the_same_test_decisions() -> None:
    planted = plant_points(np.random.default_rng(2))
    rows, _ = measured(planted, PlantedStore(planted, {(0, -4): 1.0}, np.random.default_rng(3)))
    assert len(rows) == 2 * 8 * 2
    for row in rows:
        assert row.auroc and row.baseline_auroc and row.difference_low and row.band_low
        difference = row.auroc - row.baseline_auroc
        assert row.difference == pytest.approx(difference)
        assert row.band_low <= row.difference_low <= difference
        assert row.n == 30
    assert {row.n_rows for row in rows if row.pairs == "all"} == {240}
    absent = planted.points.is_absent[planted.points.decisions.split == "test"].sum()
    assert {row.n_rows for row in rows if row.pairs == "absent"} == {absent}


@pytest.mark.slow
def test_a_label_that_depends_on_position_only_earns_the_probe_nothing() -> None:
    """Activations tell the position well, and so the label; the position tells it as well."""
    contains, aurocs = 0, []
    n_runs = 40
    for seed in range(n_runs):
        rng = np.random.default_rng(100 + seed)
        planted = plant_points(rng, n_problems=60, by_position=3.0)
        store = PlantedStore(planted, {}, rng, n_layers=1, by_position=30.0)
        rows, _ = measured(planted, store)
        row = first(rows, offset=-4, pairs="all")
        assert row and row.difference_low and row.difference_high
        contains += row.difference_low <= 0 <= row.difference_high
        aurocs.append(row.auroc)
        assert row.baseline in ("position", "together")
    assert np.mean(aurocs) > 0.8
    assert contains >= 34


def test_a_probe_that_beats_the_exact_posterior_fails_the_run_and_is_named() -> None:
    planted = plant_points(np.random.default_rng(4), posterior=0.5)
    quiet = PlantedStore(planted, {}, np.random.default_rng(5))
    _, excesses = measured(planted, quiet)
    checked = require_no_leak(excesses, 0.95)
    assert checked.n_cells == 16
    assert checked.closest and checked.closest.band_low <= 0
    leaking = PlantedStore(planted, {(1, -6): 2.0}, np.random.default_rng(5))
    _, excesses = measured(planted, leaking)
    with pytest.raises(UserError, match="role base, .* target over, layer 1, offset -6: AUROC"):
        require_no_leak(excesses, 0.95)


def test_without_a_posterior_nothing_is_compared_with_it() -> None:
    planted = plant_points(np.random.default_rng(6))
    rows, excesses = measured(planted, PlantedStore(planted, {}, np.random.default_rng(7)))
    assert require_no_leak(excesses, 0.95) == Ceiling(0, 0.95, None)
    assert {row.posterior for row in rows} == {None}


def test_the_ceiling_of_the_action_is_the_writers_own_probability_until_it_acts() -> None:
    planted = plant_points(np.random.default_rng(8), posterior=0.25)
    points = planted.points
    task = Task(ACTION, np.arange(len(planted.is_positive)), planted.is_positive)
    p_writer = np.random.default_rng(9).random(len(planted.is_positive))
    asked = ask(points, points.anchors[0], task, p_writer, BOOTSTRAP)
    assert (asked.posterior == 0.25).all()
    value = auroc(p_writer[asked.rows], asked.is_positive)
    assert asked.has_ceiling.all()
    assert asked.ceiling.value == pytest.approx([value] * len(asked.posterior))
    assert (points.decisions.split[asked.rows] == "test").all()
    sooner = replace(points.decisions, position=points.decisions.position - 4)
    asked = ask(replace(points, decisions=sooner), points.anchors[0], task, p_writer, BOOTSTRAP)
    assert not asked.has_ceiling[4:].any() and asked.has_ceiling[:4].all()
    assert np.isnan(asked.ceiling.value).tolist() == (~asked.has_ceiling.any(axis=1)).tolist()
