"""The rates that `grade` counted, with intervals by problem, beside those that were taught."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from backtracking.records.intervals import Interval
from backtracking.records.rows.measures import Measure, Tally
from backtracking.statistics.bootstrap import Bootstrap


def measure(
    tallies: Iterable[Tally], taught: Mapping[str, float], bootstrap: Bootstrap
) -> list[Measure]:
    """The rate of every measure by its name, then those that were taught, which have no interval.

    Args:
        tallies: of each measure and problem.
        taught: rates of the domain's policy.
        bootstrap: of every interval.
    """
    by_measure: dict[str, list[Tally]] = defaultdict(list)
    for one in tallies:
        by_measure[one.measure].append(one)
    rows = []
    for name, its in sorted(by_measure.items()):
        seen = [np.repeat([1.0, 0.0], [one.n_true, one.n - one.n_true]) for one in its]
        problems = np.repeat([one.problem_id for one in its], [one.n for one in its])
        (interval,) = bootstrap.intervals(np.concatenate(seen), problems.tolist())
        rows.append(Measure(name, interval))
    return rows + [Measure(name, Interval(rate, None, None, 0)) for name, rate in taught.items()]
