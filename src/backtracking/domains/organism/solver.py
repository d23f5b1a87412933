"""What is true of a position in the search, from the numbers alone.

This file shares no code with the policy that writes traces: it is the judge.
"""

from functools import lru_cache

KINDS = ("over", "exhausted", "doomed", "alive", "solved")


@lru_cache(maxsize=1_000_000)
def completion_exists(remaining: int, left: tuple[int, ...]) -> bool:
    """Whether some subset of `left` (sorted) sums to exactly `remaining`."""
    sums = {0}
    for number in left:
        sums |= {total + number for total in sums if total + number <= remaining}
    return remaining in sums


def decision_kind(true_total: int, target: int, left: tuple[int, ...]) -> str:
    """Kind of a decision point: `over`, `exhausted`, `doomed`, `alive` or `solved`.

    `doomed` is still under the target with numbers left, and no completion exists: no reader can
    see it without solving the rest.
    """
    if true_total == target:
        return "solved"
    if true_total > target:
        return "over"
    if not left:
        return "exhausted"
    alive = completion_exists(target - true_total, tuple(sorted(left)))
    return "alive" if alive else "doomed"


def solutions(numbers: tuple[int, ...], target: int) -> list[tuple[int, ...]]:
    """All subsets of distinct `numbers` that sum to `target`, by counting through the masks."""
    found = []
    for mask in range(1, 1 << len(numbers)):
        chosen = tuple(n for bit, n in enumerate(numbers) if mask >> bit & 1)
        if sum(chosen) == target:
            found.append(chosen)
    return found
