"""The stage on planted activations: chosen on dev, found on test, and every file's content."""

from typing import Any

import numpy as np
import pytest
from planted_probes import BOOTSTRAP, WINDOW, PlantedStore, embed, plant_points

from backtracking.probing.probes import Fitting
from backtracking.stages.probe import COLUMNS, Inputs, Params, choose, run

PARAMS = Params(
    windows={"comparison": WINDOW, "known": WINDOW},
    ordered_window=(-2, 3),
    fitting=Fitting((0.01, 0.1), 1e-4),
    n_shuffles=4,
    seed=0,
    n_threads=2,
)


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Two models, of which `reasoning` alone tells the label, at layer 1 from offset 2 on."""
    planted = plant_points(np.random.default_rng(0))
    sizes = {(1, 2): 3.0, (1, 3): 2.0, (1, 4): 2.0}
    stores = {
        "base": PlantedStore(planted, {}, np.random.default_rng(1)),
        "reasoning": PlantedStore(planted, sizes, np.random.default_rng(2)),
    }
    unknown = np.full(len(planted.is_positive), np.nan)
    return Inputs(planted.points, stores, {role: embed() for role in stores}, unknown)


@pytest.fixture(scope="module")
def result(inputs: Inputs) -> dict[str, Any]:
    """Everything that the stage writes, the selection included."""
    chosen = choose(PARAMS, inputs)
    return run(PARAMS, BOOTSTRAP, inputs, chosen) | {"selection": chosen.selection}


def test_the_planted_cell_is_chosen_on_dev_and_told_on_test(result: dict[str, Any]) -> None:
    (best,) = [row for row in result["selection"]["best"] if row["role"] == "reasoning"]
    assert (best["layer"], best["offset"]) == (1, 2)
    found = {
        (row["role"], row["layer"]): row["earliest"]
        for row in result["earliest"]
        if row["pairs"] == "all"
    }
    assert found == {
        ("base", 0): None, ("base", 1): None, ("reasoning", 0): None, ("reasoning", 1): 2
    }  # fmt: skip


def test_every_file_has_its_rows(result: dict[str, Any]) -> None:
    assert set(result) == {
        "selection", "grid", "earliest", "baselines", "windows", "shuffled", "ceiling"
    }  # fmt: skip
    assert len(result["grid"]) == 2 * 2 * 8 * 2
    assert all(set(row) == set(COLUMNS) for row in result["grid"])
    assert [row["role"] for row in result["windows"]] == ["base", "reasoning"]
    assert all(row["window"] == "-2:3" for row in result["windows"])
    assert [row["n_shuffles"] for row in result["shuffled"]] == [4, 4]
    assert len(result["baselines"]) == 8 * (5 + 2)
    assert result["ceiling"] == {"n_cells": 0}


def test_two_runs_are_the_same(inputs: Inputs, result: dict[str, Any]) -> None:
    chosen = choose(PARAMS, inputs)
    again = run(PARAMS, BOOTSTRAP, inputs, chosen) | {"selection": chosen.selection}
    assert again == result


def test_wrong_parameters_are_told() -> None:
    both: dict[str, tuple[int, int]] = {"comparison": WINDOW, "known": WINDOW}
    fitting = PARAMS.fitting
    with pytest.raises(ValueError, match="found \\['comparison'\\]"):
        Params({"comparison": WINDOW}, (0, 1), fitting, 1, 0, 1)
    with pytest.raises(ValueError, match="first <= last"):
        Params(both, (1, 0), fitting, 1, 0, 1)
    with pytest.raises(ValueError, match="n_shuffles"):
        Params(both, (0, 1), fitting, 0, 0, 1)
    with pytest.raises(ValueError, match="penalties"):
        Fitting((), 1e-4)
