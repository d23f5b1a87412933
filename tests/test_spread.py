import numpy as np
import pytest
from test_power import SPREAD, draw

from backtracking.power import Size
from backtracking.spread import spread_of


def test_planted_components_are_found() -> None:
    rng, size = np.random.default_rng(0), Size(400, 2, 60)
    effects, problem = draw(rng, 0.3, SPREAD, size)
    randoms = np.stack(
        [draw(rng, SPREAD.random * rng.standard_normal(), SPREAD, size)[0] for _ in range(200)]
    )
    found = spread_of(effects, randoms, problem, size.n_samples)
    assert found.between == pytest.approx(0.2, abs=0.02)
    assert found.within == pytest.approx(0.3, abs=0.01)
    assert found.random == pytest.approx(0.05, abs=0.01)
    assert found.decisions == 6.0


def test_one_decision_a_problem_tells_nothing_of_the_spread_within() -> None:
    with pytest.raises(ValueError, match="several decisions"):
        spread_of(np.ones(3), np.ones((2, 3)), np.arange(3), 1)
