"""Claims about training, whose unit is the trained pair: in how many pairs does each hold?"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student

from backtracking.records.intervals import Interval
from backtracking.records.rows.claims import Count, Evidence


def count_pairs(claims: Sequence[Evidence], level: float) -> list[Count]:
    """One row per claim: pairs by verdict, and the mean effect.

    Few pairs give wide bounds, and one pair none for the mean.

    Args:
        claims: one per claim and pair.
        level: nominal coverage of both intervals.
    """
    rows = []
    for claim in dict.fromkeys(row.claim for row in claims):
        mine = [row.finding for row in claims if row.claim == claim]
        verdicts = [one.verdict for one in mine]
        n_holds, n_fails = verdicts.count("holds"), verdicts.count("fails")
        effects = [one.estimate for one in mine if one.estimate is not None]
        mean = mean_interval(np.array(effects, dtype=np.float64), level)
        share = share_interval(n_holds, n_holds + n_fails, level)
        n_no_test, n_untestable = (verdicts.count(one) for one in ("no test", "untestable"))
        counts = len(mine), n_holds, n_fails, n_no_test, n_untestable
        rows.append(Count(claim, *counts, *share, mean.value, mean.low, mean.high))
    return rows


def mean_interval(values: np.ndarray, level: float) -> Interval:
    """Mean of independent values with Student's interval; of a single one the value alone."""
    n = len(values)
    if not n:
        return Interval(None, None, None, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    reach = float(student.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - reach, mean + reach, n)


def share_interval(k: int, n: int, level: float) -> tuple[float, float]:
    """Exact bounds of a share from k of n (Clopper and Pearson, Biometrika 1934); all for n = 0."""
    if not 0 <= k <= n:
        raise ValueError(f"Expected k between 0 and n, found {k} of {n}.")
    tail = (1 - level) / 2
    low = float(beta.ppf(tail, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(1 - tail, k + 1, n - k)) if k < n else 1.0
    return low, high
