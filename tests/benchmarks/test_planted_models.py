"""Is the right class found? Few runs here; benchmarks/transitions_recovery.py makes fifty."""

import numpy as np
import pytest

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.em import Learning
from backtracking.transitions.registry import CLASSES, CONTAINED_IN, Grid
from benchmarks.planted_models import PLANTED, Size, recover

GRID = Grid((3, 4), (3,), Learning(2, 1e-4))


def n_passes(planted: str, n_problems: int, runs: range) -> int:
    return sum(
        recover(
            planted, Size(n_problems, 2, 60), GRID, Bootstrap(200, 0.95, run),
            np.random.default_rng([7, run]),
        ).passes
        for run in runs
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_the_planted_class_is_found_at_half_the_organisms_size(planted: str) -> None:
    assert n_passes(planted, 150, range(1)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_the_planted_class_is_found_in_nine_runs_of_ten(planted: str) -> None:
    assert n_passes(planted, 240, range(10)) >= 9


def test_what_lies_inside_what_is_an_order_on_the_classes() -> None:
    for name in CLASSES:
        assert name in CONTAINED_IN[name]
        for larger in CONTAINED_IN[name]:
            assert CONTAINED_IN[larger] <= CONTAINED_IN[name]
