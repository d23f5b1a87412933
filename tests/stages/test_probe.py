"""The stage on planted activations: chosen on dev, found on test, and every file's content."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from intervals import known
from planted_probes import BOOTSTRAP, WINDOW, PlantedStore, embed, plant_points

from backtracking.probing.probes import Fitting
from backtracking.records.rows.probe import Ceiling, ProbeSelection
from backtracking.stages.probe import OUT, Inputs, Params, Result, choose, run
from lifeboat.stage.units import Units

PARAMS = Params(
    window=WINDOW,
    fitting=Fitting((0.01, 0.1), 1e-6),
    n_processes=2,
)


Made = tuple[ProbeSelection, Result]


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Two models, of which `reasoning` alone tells the label, at layer 1 from offset -2 on."""
    planted = plant_points(np.random.default_rng(0))
    sizes = {(1, -2): 3.0, (1, -1): 2.0, (1, 0): 2.0}
    stores = {
        "base": PlantedStore(planted, {}, np.random.default_rng(1)),
        "reasoning": PlantedStore(planted, sizes, np.random.default_rng(2)),
    }
    unknown = np.full(len(planted.is_positive), np.nan)
    return Inputs(planted.points, stores, {role: embed() for role in stores}, unknown)


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Units:
    """A store."""
    return Units(tmp_path_factory.mktemp("project"), ("backtracking",))


@pytest.fixture(scope="module")
def made(inputs: Inputs, units: Units) -> Made:
    """Everything that the stage writes."""
    return make(inputs, units)


def make(inputs: Inputs, units: Units, params: Params = PARAMS) -> Made:
    """What the stage makes of its inputs."""
    chosen = choose(params, inputs, units)
    return chosen.selection, run(BOOTSTRAP, inputs, chosen)


def names(folder: Path) -> set[str]:
    """The units of a store."""
    return {path.name for path in folder.rglob("*.safetensors")}


def test_the_planted_cell_is_chosen_on_dev_and_told_on_test(made: Made) -> None:
    selection, result = made
    (best,) = [one for one in selection.best if one.role == "reasoning"]
    assert (best.layer, best.offset) == (1, -2)
    found = {row.choice.role: known(row.difference) for row in result.cells}
    assert found["reasoning"].low > 0.3 and abs(found["base"].value) < 0.15


def test_every_table_has_its_rows(made: Made) -> None:
    selection, result = made
    assert len(selection.cells) == 2 * 2 * 8
    assert [row.choice for row in result.cells] == list(selection.best)
    assert result.within == [] and result.ceiling == Ceiling(0, BOOTSTRAP.level, None)


def test_a_second_run_finds_every_fit_and_one_without_them_computes_the_same(
    inputs: Inputs, made: Made, units: Units, tmp_path: Path
) -> None:
    store = units.store / OUT
    before = names(store)
    assert len(before) == 2 * 2 + 5 + 2
    assert make(inputs, units) == made
    assert names(store) == before
    alone = Units(tmp_path, ("backtracking",))
    assert make(inputs, alone, replace(PARAMS, n_processes=1)) == made
    assert names(alone.store / OUT) == before


def test_numbers_do_not_change_with_the_last_bits_of_the_activations(
    inputs: Inputs, made: Made, tmp_path: Path
) -> None:
    """As another machine would give them: relative noise of 1e-7, which is that of float32."""
    noise = torch.Generator().manual_seed(5)
    stores = {}
    for role, store in inputs.store_by_role.items():
        stores[role] = copy(store)
        values = store.values.double()  # type: ignore[attr-defined]
        shaken = values * (1 + 1e-7 * torch.randn(values.shape, generator=noise))
        stores[role].values = shaken.float()
    params = replace(PARAMS, n_processes=1)
    moved = replace(inputs, store_by_role=stores)
    units = Units(tmp_path, ("backtracking",))
    selection, result = make(moved, units, params)
    assert selection.best == made[0].best
    for row, other in zip(result.cells, made[1].cells, strict=True):
        for name in ("auroc", "difference"):
            pair = [known(getattr(one, name)) for one in (row, other)]
            assert pair[0] == pytest.approx(pair[1], abs=1.01e-4)


def test_where_no_decision_is_of_a_split_rows_are_empty_and_nothing_is_raised(
    inputs: Inputs, tmp_path: Path
) -> None:
    points = inputs.points
    never = replace(
        points.tasks[0], rows=np.zeros(0, dtype=np.int64), is_positive=np.zeros(0, bool)
    )
    selection, found = make(
        replace(inputs, points=replace(points, tasks=(never,))),
        Units(tmp_path, ("backtracking",)),
    )
    assert selection.best == () and found.cells == []
    assert found.ceiling.n_cells == 0


def test_wrong_parameters_are_told() -> None:
    fitting = PARAMS.fitting
    with pytest.raises(ValueError, match="found \\[-2, 1\\]: behind the deciding token"):
        Params((-2, 1), fitting, 1)
    with pytest.raises(ValueError, match="first <= last"):
        Params((0, -1), fitting, 1)
    with pytest.raises(ValueError, match="n_processes 0"):
        Params(WINDOW, fitting, 0)
    with pytest.raises(ValueError, match="penalties"):
        Fitting((), 1e-4)
