"""What probes earn on test problems: the planted, nothing for position, and never above truth."""

import numpy as np
import pytest
from intervals import known
from planted_probes import BOOTSTRAP, Planted, PlantedStore, embed, fit, plant_points, with_actions

from backtracking.probing.grid import select
from backtracking.probing.measures import Measured, measure, read_cell, require_no_leak
from backtracking.probing.probes import Fitting, Series
from backtracking.probing.targets import ACTION
from backtracking.records.rows.probe import Ceiling
from backtracking.records.rows.table import first
from backtracking.statistics.auroc import auroc
from lifeboat.stage.errors import UserError

FITTING = Fitting((0.001, 0.01, 0.1), 1e-4)


def measured(planted: Planted, store: PlantedStore, p_writer: float = np.nan) -> Measured:
    """Fitted on train, chosen on dev, measured on test."""
    fitted = fit(planted, store, FITTING)
    (choice,) = select(planted.points, fitted, FITTING).best
    probes = fitted[Series("base", choice.target, choice.layer)]
    cell = read_cell(planted.points, store, choice, probes)
    p = np.full(len(planted.is_positive), p_writer)
    return measure(planted.points, cell, embed(), p, fitted, BOOTSTRAP)


def test_the_row_is_a_paired_difference_at_the_cell_that_dev_chose() -> None:
    planted = plant_points(np.random.default_rng(2))
    found = measured(planted, PlantedStore(planted, {(0, -4): 1.5}, np.random.default_rng(3)))
    row, auroc_, gain = found.row, known(found.row.auroc), known(found.row.difference)
    assert (row.choice.layer, row.choice.offset, row.n_rows) == (0, -4, 240)
    assert row.baseline_auroc is not None
    assert gain.value == pytest.approx(auroc_.value - row.baseline_auroc)
    assert 0.2 < gain.low < gain.value < gain.high and auroc_.n == 30
    # A kind is no reader of its own kind.
    assert found.within == [] and row.kind_auroc is None and row.beyond_kind is None


@pytest.mark.slow
def test_a_label_that_depends_on_position_only_earns_the_probe_nothing() -> None:
    """Activations tell the position well, and so the label; the position tells it as well."""
    contains, aurocs = 0, []
    n_runs = 40
    for seed in range(n_runs):
        rng = np.random.default_rng(100 + seed)
        planted = plant_points(rng, n_problems=60, by_position=3.0)
        store = PlantedStore(planted, {}, rng, n_layers=1, by_position=30.0)
        row = measured(planted, store).row
        gain = known(row.difference)
        contains += gain.low <= 0 <= gain.high
        aurocs.append(row.auroc.value)
        assert row.choice.baseline in ("position", "together")
    assert np.mean(aurocs) > 0.8
    assert contains >= 34


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_probe_of_the_action_is_told_from_one_that_knows_the_kind_alone(by_hand: bool) -> None:
    """Kinds turn at different rates; `by_hand`, activations also hold the action itself."""
    planted = with_actions(plant_points(np.random.default_rng(10), n_problems=150), by_hand)
    store = PlantedStore(planted, {(1, -2): 3.0}, np.random.default_rng(11))
    found = measured(planted, store)
    row, within = found.row, {one.kind: one for one in found.within}
    assert set(within) == {"over", "alive"} and row.choice.target == ACTION
    beyond = known(row.beyond_kind)
    if by_hand:
        assert beyond.low > 0.1 and known(within["over"].auroc).low > 0.8
    else:
        kind_auroc = known(row.kind_auroc)
        assert kind_auroc.low > 0.6 and abs(beyond.value) < 0.08
        assert known(within["over"].auroc).low < 0.5 < known(within["over"].auroc).high
    assert sum(one.n_rows for one in within.values()) == row.n_rows
    assert within["over"].n_turns / within["over"].n_rows == pytest.approx(0.7, abs=0.1)


def test_a_probe_that_beats_the_exact_posterior_fails_the_run_and_is_named() -> None:
    planted = plant_points(np.random.default_rng(4), posterior=0.5)
    quiet = measured(planted, PlantedStore(planted, {}, np.random.default_rng(5)))
    checked = require_no_leak([quiet, quiet], 0.95)
    assert checked.n_cells == 2 and quiet.row.ceiling == 0.5
    assert checked.closest and checked.closest.band_low <= 0
    leaking = measured(planted, PlantedStore(planted, {(1, -6): 2.0}, np.random.default_rng(5)))
    with pytest.raises(UserError, match="role base, target over, layer 1, offset -6: AUROC"):
        require_no_leak([quiet, leaking], 0.95)


def test_without_a_posterior_nothing_is_compared_with_it() -> None:
    planted = plant_points(np.random.default_rng(6))
    found = measured(planted, PlantedStore(planted, {}, np.random.default_rng(7)))
    assert require_no_leak([found], 0.95) == require_no_leak([], 0.95) == Ceiling(0, 0.95, None)
    assert found.row.ceiling is None


def test_the_ceiling_of_the_action_is_the_writers_own_probability() -> None:
    planted = with_actions(plant_points(np.random.default_rng(8), posterior=0.25), True)
    points, store = planted.points, PlantedStore(planted, {(0, 0): 1.0}, np.random.default_rng(9))
    fitted = fit(planted, store, FITTING)
    (choice,) = select(points, fitted, FITTING).best
    cell = read_cell(points, store, choice, fitted[Series("base", ACTION, choice.layer)])
    p = np.random.default_rng(9).random(len(planted.is_positive))
    found = measure(points, cell, embed(), p, fitted, BOOTSTRAP)
    assert found.row.ceiling == pytest.approx(auroc(p[cell.rows], cell.is_positive))
    assert (points.decisions.split[cell.rows] == "test").all()
    assert first([found.row], n_rows=240)


def test_a_fit_that_does_not_converge_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant_points(np.random.default_rng(12), n_problems=30)
    store = PlantedStore(planted, {(0, 0): 2.0}, np.random.default_rng(13))
    monkeypatch.setattr("backtracking.probing.probes.MAX_PASSES", 3)
    with pytest.raises(UserError, match="Expected probes with a gradient of at most 1e-09, found"):
        fit(planted, store, Fitting((0.001,), 1e-9), baselines=False)
