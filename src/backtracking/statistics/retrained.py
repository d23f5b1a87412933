"""Intervals that hold for another estimate of the direction too, not for the one at hand alone.

A direction is estimated on train problems and judged on test problems. A bootstrap of the test
problems tells how an effect would vary over other test problems; that the direction would have come
out otherwise from other train problems, it does not see.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from backtracking.records.intervals import Interval
from backtracking.statistics.bootstrap import (
    Bootstrap,
    percentile_interval,
    resample_problems,
    sum_by_problem,
)
from backtracking.statistics.corrected import ratio


def retrained_interval(
    effects: Float[np.ndarray, " decisions"],
    retrained: Float[np.ndarray, "n_directions decisions"],
    problem_ids: Sequence[str],
    bootstrap: Bootstrap,
) -> Interval:
    """The mean effect of a direction, with an interval over train and test problems.

    Each replicate draws the test problems anew, and one of the directions that were estimated from
    train problems drawn anew. The value is that of the direction at hand; NaN counts nowhere.

    Args:
        effects: of the direction at hand, decision by decision.
        retrained: of each direction that was estimated again, on the same decisions.
        problem_ids: the test problem of each decision.
        bootstrap: resamples and level.

    Raises:
        ValueError: where no direction was estimated again.
    """
    if not len(retrained):
        raise ValueError("Expected directions that were estimated again, found none.")
    sums, counts = sum_by_problem(np.concatenate([effects[None], retrained]).T, problem_ids)
    rng = np.random.default_rng(bootstrap.seed)
    weights = resample_problems(len(sums), bootstrap.n_resamples, rng)
    means = ratio(weights @ sums[:, 1:], weights @ counts[:, 1:])
    drawn = rng.integers(len(retrained), size=len(means))
    (value,) = ratio(sums[:, :1].sum(axis=0), counts[:, :1].sum(axis=0))
    n = int((counts[:, 0] > 0).sum())
    replicates = means[np.arange(len(means)), drawn]
    return percentile_interval(float(value), replicates, n, bootstrap.level)
