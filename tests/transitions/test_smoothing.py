"""A strength lies inside whatever dev says, and where dev says much the prior says little."""

from collections.abc import Callable

import numpy as np
import pytest

from backtracking.transitions.smoothing import best_strength, with_few


@pytest.mark.parametrize(
    "loss",
    [
        lambda strength: 0.0 * strength,
        lambda strength: 40 * strength / (1 + strength),
        lambda strength: 40 / (1 + strength),
        lambda strength: 40 * np.exp(-strength / 1e4),
    ],
)
def test_no_dev_split_drives_the_strength_to_an_end(loss: Callable[[float], float]) -> None:
    found = best_strength(loss)
    assert 1e-5 < found < 1e6

    def penalised(strength: float) -> float:
        return loss(strength) + np.log(strength) ** 2 / 18

    assert all(penalised(found) <= penalised(found * f) for f in (0.1, 0.9, 1.1, 10))


def test_where_dev_says_much_the_minimum_is_devs() -> None:
    assert best_strength(lambda one: 1e5 * (np.log(one) - 2) ** 2) == pytest.approx(
        np.exp(2), rel=1e-4
    )


def test_half_a_count_goes_to_what_was_never_counted() -> None:
    assert with_few(np.array([[9.0, 0.0], [0.0, 0.0]])) == pytest.approx(
        np.array([[0.95, 0.05], [0.5, 0.5]])
    )
