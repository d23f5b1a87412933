"""In which order jobs begin that run side by side, where some need what others make."""

from collections.abc import Mapping, Sequence
from itertools import permutations

MOST = 7
"""Jobs of which every order is tried."""


def order(
    sizes: Mapping[str, float | int], needed: Mapping[str, str | None], n_at_once: int
) -> list[str]:
    """The order in which all jobs end soonest, each of them begun when a process is free.

    None begins before the one that it needs has ended. Of more than `MOST` jobs, those that others
    need come first, and of these the longest.

    Args:
        sizes: how long each takes, in any unit.
        needed: the job that each needs, or None.
        n_at_once: processes.
    """

    def depth(one: str) -> int:
        before = needed[one]
        return 0 if before is None else 1 + depth(before)

    names = sorted(sizes, key=lambda one: (depth(one), -sizes[one]))
    if len(names) > MOST:
        return names
    return list(min(permutations(names), key=lambda one: _end(one, sizes, needed, n_at_once)))


def _end(
    names: Sequence[str],
    sizes: Mapping[str, float | int],
    needed: Mapping[str, str | None],
    n_at_once: int,
) -> float:
    """When the last job ends; never, where one would begin before what it needs is there."""
    free, ended = [0.0] * n_at_once, dict[str | None, float]({None: 0.0})
    for name in names:
        began = min(free)
        if ended.get(needed[name], float("inf")) > began:
            return float("inf")
        ended[name] = began + sizes[name]
        free[free.index(began)] = ended[name]
    return max(free)
