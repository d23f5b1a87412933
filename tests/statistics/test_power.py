import numpy as np
import pytest

from backtracking.statistics.nulls import random_bound
from backtracking.statistics.power import Size, minimal_effect, power
from backtracking.statistics.spread import Spread, spread_of

SPREAD = Spread(between=0.2, within=0.3, random=0.05, decisions=6.0)


def draw(
    rng: np.random.Generator, effect: float, spread: Spread, size: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Effects of every decision of a study, and their problems."""
    per_problem = int(spread.decisions * size.n_samples)
    problem = np.arange(size.n_problems).repeat(per_problem)
    means = effect + spread.between * rng.standard_normal(size.n_problems)
    return means[problem] + spread.within * rng.standard_normal(len(problem)), problem


def test_power_is_what_whole_simulated_studies_have() -> None:
    rng, size, effect = np.random.default_rng(1), Size(30, 1, 39), 0.15
    holds = []
    for _ in range(400):
        effects, problem = draw(rng, effect, SPREAD, size)
        means = np.bincount(problem, effects) / np.bincount(problem)
        error = means.std(ddof=1) / np.sqrt(size.n_problems)
        randoms = [
            draw(rng, SPREAD.random * rng.standard_normal(), SPREAD, size)[0].mean()
            for _ in range(size.n_random)
        ]
        bound = max(1.96 * error, random_bound(np.array(randoms)))
        holds.append(means.mean() > bound)
    assert power(effect, SPREAD, size, 0) == pytest.approx(np.mean(holds), abs=0.07)


def test_without_an_effect_the_claim_holds_seldom() -> None:
    assert power(0.0, SPREAD, Size(100, 1, 39), 0) < 0.05


def test_the_minimal_effect_has_the_wanted_power_and_shrinks_with_the_study() -> None:
    small, large = Size(20, 1, 39), Size(200, 2, 39)
    found = minimal_effect(SPREAD, small, 0)
    assert found is not None
    assert power(found, SPREAD, small, 0) == pytest.approx(0.8, abs=0.01)
    larger = minimal_effect(SPREAD, large, 0)
    assert larger is not None and larger < found


def test_no_number_of_problems_sees_an_effect_below_the_random_directions() -> None:
    wide = Spread(0.2, 0.3, random=0.4, decisions=6.0)
    found = minimal_effect(wide, Size(10_000, 8, 99), 0)
    assert found is not None and found > 0.4
    assert minimal_effect(Spread(0.2, 0.3, 1.0, 6.0), Size(100, 1, 39), 0) is None


def test_planted_components_are_found() -> None:
    rng, size = np.random.default_rng(0), Size(400, 2, 60)
    effects, problem = draw(rng, 0.3, SPREAD, size)
    randoms = np.stack(
        [draw(rng, SPREAD.random * rng.standard_normal(), SPREAD, size)[0] for _ in range(200)]
    )
    found = spread_of(effects, randoms, problem, size.n_samples)
    assert found is not None
    assert found.between == pytest.approx(0.2, abs=0.02)
    assert found.within == pytest.approx(0.3, abs=0.01)
    assert found.random == pytest.approx(0.05, abs=0.01)
    assert found.decisions == 6.0


def test_one_decision_a_problem_tells_nothing_of_the_spread_within() -> None:
    assert spread_of(np.ones(3), np.ones((2, 3)), np.arange(3), 1) is None
    assert spread_of(np.ones(3), np.ones((2, 3)), np.zeros(3), 1) is None


def test_planted_components_need_two_problems() -> None:
    rng, size = np.random.default_rng(1), Size(2, 2, 60)
    effects, problem = draw(rng, 0.3, SPREAD, size)
    assert spread_of(effects, np.stack([effects, -effects]), problem, 2) is not None
