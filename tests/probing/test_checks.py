"""Order within a window is told from what stands in it, and shuffled labels tell nothing."""

import numpy as np
from planted_probes import WINDOW, Planted, PlantedStore, plant_points

from backtracking.probing.checks import Cell, Checking, compare_orders, shuffle_labels
from backtracking.probing.probes import Fitting
from backtracking.records.rows.probe import Ordered

CHECKING = Checking(WINDOW, 200, Fitting((0.01, 0.1), 1e-4), 0.95, 0)


def cell_of(planted: Planted) -> Cell:
    return Cell("base", planted.points.tasks[0], 0, -2, 0.01)


def orders_of(planted: Planted, store: PlantedStore) -> Ordered:
    rng = np.random.default_rng(9)
    return compare_orders(planted.points, store, cell_of(planted), CHECKING, rng)


def test_a_signal_that_is_only_in_the_order_is_lost_when_tokens_are_permuted() -> None:
    planted = plant_points(np.random.default_rng(0))
    sizes = {(0, -6): 2.0, (0, -1): -2.0}
    found = orders_of(planted, PlantedStore(planted, sizes, np.random.default_rng(1), 1))
    assert found.ordered_auroc and found.ordered_auroc > 0.9
    assert found.shuffled_auroc and abs(found.shuffled_auroc - 0.5) < 0.12
    assert found.difference.low and found.difference.low > 0.2
    assert found.difference.value == found.ordered_auroc - found.shuffled_auroc
    assert (found.window, found.difference.n) == ("-7:0", 30)


def test_a_signal_at_every_token_survives_the_permutation() -> None:
    planted = plant_points(np.random.default_rng(2))
    sizes = {(0, offset): 0.8 for offset in range(WINDOW[0], WINDOW[1] + 1)}
    found = orders_of(planted, PlantedStore(planted, sizes, np.random.default_rng(3), 1))
    assert found.shuffled_auroc and found.shuffled_auroc > 0.85
    low, high = found.difference.low, found.difference.high
    assert low is not None and high is not None and low <= 0 <= high


def test_shuffled_labels_are_null_at_the_nominal_rate_where_the_true_ones_are_plain() -> None:
    planted = plant_points(np.random.default_rng(4))
    store = PlantedStore(planted, {(0, -2): 3.0}, np.random.default_rng(5), 1)
    rng = np.random.default_rng(6)
    found = shuffle_labels(planted.points, store, cell_of(planted), CHECKING, rng)
    assert found.n_shuffles == 200
    assert found.covering_rate and 181 / 200 <= found.covering_rate <= 198 / 200
    assert found.mean_auroc and abs(found.mean_auroc - 0.5) < 0.01
