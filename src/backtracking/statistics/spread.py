"""What an effect varies by: between problems, within them, and between random directions."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped


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


def spread_of(
    effects: Float[np.ndarray, " decisions"],
    random_effects: Float[np.ndarray, "n_random decisions"],
    problem: Shaped[np.ndarray, " decisions"],
    n_samples: int,
) -> Spread | None:
    """Variance components of a measured effect, by the method of moments.

    None where no problem has two decisions, or there is one problem only: nothing tells them apart.

    Args:
        effects: of one arm, decision by decision.
        random_effects: of each random direction, on the same decisions.
        problem: the problem of each decision.
        n_samples: traces of each problem.
    """
    if not 2 <= len(np.unique(problem)) < len(effects):
        return None
    between, within = _components(effects, problem)
    components = np.array([_components(one, problem) for one in random_effects])
    n_problems, n = len(np.unique(problem)), len(effects)
    noise = (components[:, 0] ** 2 / n_problems + components[:, 1] ** 2 / n).mean()
    random = random_effects.mean(axis=1).var(ddof=1) - noise
    return Spread(between, within, float(np.sqrt(max(random, 0.0))), n / n_problems / n_samples)


def _components(
    values: Float[np.ndarray, " decisions"], problem: Shaped[np.ndarray, " decisions"]
) -> tuple[float, float]:
    """Standard deviations between and within problems, from a one-way analysis of variance."""
    names, number = np.unique(problem, return_inverse=True)
    counts = np.bincount(number).astype(float)
    means = np.bincount(number, values) / counts
    within = ((values - means[number]) ** 2).sum() / (len(values) - len(names))
    grand = values.mean()
    mean_square = (counts * (means - grand) ** 2).sum() / (len(names) - 1)
    typical = (counts.sum() - (counts**2).sum() / counts.sum()) / (len(names) - 1)
    between = max((mean_square - within) / typical, 0.0)
    return float(np.sqrt(between)), float(np.sqrt(within))
