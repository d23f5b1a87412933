import pytest
import torch

from backtracking.interventions.runs import Choice, choose, random_units
from backtracking.runtime.forks import Cores
from backtracking.stages.steer import Params

CORES = Cores(1, 1, "cpu")
PARAMS = Params((-1.0, 1.0), 1, 5, 3, 2, 2, 10, 0.9, 40, 16, 3, CORES)


def scored(layer: int, excess: float, agreement: float, random: float = 0.0) -> dict:
    """A row of the grid that is scored on dev, with the mean effect of random directions."""
    return {
        "layer": layer, "window": "4:4", "norm": 2.0, "effect": excess + random, "effect_own": 0.0,
        "excess": excess, "agreement": agreement,
    }  # fmt: skip


def test_an_effect_that_random_directions_have_as_well_counts_for_nothing() -> None:
    assert choose(PARAMS, [scored(0, 0.2, 0.99), scored(1, 0.1, 0.99, random=0.5)]).layer == 0


def test_the_largest_excess_is_chosen_among_layers_that_leave_the_rest_alone() -> None:
    grid = [scored(0, 0.1, 0.99), scored(1, 0.3, 0.95), scored(2, 0.8, 0.4)]
    assert choose(PARAMS, grid) == Choice(1, "4:4", 2.0)


def test_where_no_layer_is_usable_the_largest_excess_is_taken_all_the_same() -> None:
    assert choose(PARAMS, [scored(0, 0.1, 0.5), scored(2, 0.8, 0.4)]).layer == 2


def test_random_directions_are_unit_vectors_and_the_same_every_time() -> None:
    first, second = (random_units(PARAMS, 16) for _ in range(2))
    assert list(first) == [f"random_{n}" for n in range(5)]
    for name, vector in first.items():
        assert torch.equal(vector, second[name])
        assert vector.norm() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("doses", [(0.5, 1.0), (-1.0, 0.0, 1.0)])
def test_doses_need_both_signs_of_one_and_no_zero(doses: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must hold 1 and -1, and not 0"):
        Params(doses, 1, 5, 3, 2, 2, 10, 0.9, 40, 16, 3, CORES)


@pytest.mark.parametrize(("few", "free"), [(3, 6), (6, 3), (0, 3)])
def test_no_more_of_the_random_directions_than_there_are(few: int, free: int) -> None:
    with pytest.raises(ValueError, match="n_few_random and n_free_random"):
        Params((-1.0, 1.0), 1, 5, few, free, 2, 10, 0.9, 40, 16, 3, CORES)
