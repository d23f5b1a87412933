"""How large an effect a study of a given size can see: before a GPU is rented.

A problem's mean effect is drawn around the true one (`between`), each decision around its
problem's (`within`), and every random direction has a true effect of its own (`random`). The claim
is that of the primary endpoint: the interval by problem is above 0, and the estimate above the
95th percentile of the random directions' estimates.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

_Z = 1.959964
_N_TRIALS = 4000


@dataclass(frozen=True)
class Spread:
    """What a pilot study tells of the variation of an effect.

    Attributes:
        between: standard deviation of the problems' true mean effects.
        within: standard deviation of a decision's effect around its problem's.
        random: standard deviation of the random directions' true effects.
        decisions: decisions that one trace of a problem has on average.
    """

    between: float
    within: float
    random: float
    decisions: float


@dataclass(frozen=True)
class Size:
    """The size of a study: problems, traces of each, and random directions."""

    n_problems: int
    n_samples: int
    n_random: int


def spread_of(
    effects: Float[np.ndarray, " decisions"],
    random_effects: Float[np.ndarray, "n_random decisions"],
    problem: Shaped[np.ndarray, " decisions"],
    n_samples: int,
) -> Spread:
    """Variance components of a measured effect, by the method of moments.

    Args:
        effects: of one arm, decision by decision.
        random_effects: of each random direction, on the same decisions.
        problem: the problem of each decision.
        n_samples: traces of each problem.

    Raises:
        ValueError: where no problem has two decisions, or there is one problem only.
    """
    between, within = _components(effects, problem)
    components = np.array([_components(one, problem) for one in random_effects])
    n_problems, n = len(np.unique(problem)), len(effects)
    noise = (components[:, 0] ** 2 / n_problems + components[:, 1] ** 2 / n).mean()
    random = random_effects.mean(axis=1).var(ddof=1) - noise
    return Spread(between, within, float(np.sqrt(max(random, 0.0))), n / n_problems / n_samples)


def power(effect: float, spread: Spread, size: Size, seed: int) -> float:
    """Probability that the claim holds where the true effect is `effect`, by simulation.

    Random directions' effects are drawn around 0.
    """
    rng = np.random.default_rng(seed)
    per_problem = spread.within**2 / (spread.decisions * size.n_samples)
    error = np.sqrt((spread.between**2 + per_problem) / size.n_problems)
    estimate = effect + error * rng.standard_normal(_N_TRIALS)
    own = np.hypot(spread.random, error)
    randoms = own * rng.standard_normal((_N_TRIALS, size.n_random))
    bound = np.quantile(randoms, 0.95, axis=1)
    return float(((estimate - _Z * error > 0) & (estimate > bound)).mean())


def minimal_effect(
    spread: Spread, size: Size, seed: int, wanted: float = 0.8, largest: float = 1.0
) -> float | None:
    """The smallest true effect that is found with the wanted power; None above `largest`.

    Trials are the same for every effect, so that power grows with it and bisection finds the place.
    """
    low, high = 0.0, largest
    if power(high, spread, size, seed) < wanted:
        return None
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, spread, size, seed) >= wanted else (middle, high)
    return high


def _components(
    values: Float[np.ndarray, " decisions"], problem: Shaped[np.ndarray, " decisions"]
) -> tuple[float, float]:
    """Standard deviations between and within problems, from a one-way analysis of variance."""
    names, number = np.unique(problem, return_inverse=True)
    counts = np.bincount(number).astype(float)
    if len(names) < 2 or len(values) <= len(names):
        found = f"{len(values)} decisions of {len(names)} problems"
        raise ValueError(f"Expected two problems or more with several decisions, found {found}.")
    means = np.bincount(number, values) / counts
    within = ((values - means[number]) ** 2).sum() / (len(values) - len(names))
    grand = values.mean()
    mean_square = (counts * (means - grand) ** 2).sum() / (len(names) - 1)
    typical = (counts.sum() - (counts**2).sum() / counts.sum()) / (len(names) - 1)
    between = max((mean_square - within) / typical, 0.0)
    return float(np.sqrt(between)), float(np.sqrt(within))
