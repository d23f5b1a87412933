from itertools import permutations

import pytest

from backtracking.runtime.ordering import MOST, order

SIZES = {"base": 900, "reasoning": 1400, "shuffled": 700, "silent-base": 450, "silent": 1000}
NEEDED = {"base": None, "reasoning": "base", "shuffled": "base", "silent-base": None}
NEEDED |= {"silent": "silent-base", "alien": None}


def ends(names: tuple[str, ...] | list[str], n_at_once: int) -> dict[str, int]:
    """When each ends where jobs begin in their order, whatever they need."""
    free, found = [0] * n_at_once, {}
    for name in names:
        found[name] = free[0] + (SIZES | {"alien": 900})[name]
        free = sorted([*free[1:], found[name]])
    return found


@pytest.mark.parametrize("n_at_once", [1, 2, 3])
def test_nothing_ends_sooner_in_another_order_and_none_begins_too_early(n_at_once: int) -> None:
    sizes = SIZES | {"alien": 900}
    chosen = order(sizes, NEEDED, n_at_once)

    def end(names: tuple[str, ...] | list[str]) -> float:
        found = ends(names, n_at_once)
        early = any(
            NEEDED[one] not in (None, *names[:n])
            or found.get(NEEDED[one], 0) > found[one] - sizes[one]
            for n, one in enumerate(names)
        )
        return float("inf") if early else max(found.values())

    assert sorted(chosen) == sorted(sizes)
    assert end(chosen) == min(end(one) for one in permutations(sizes)) < float("inf")
    assert n_at_once != 2 or end(chosen) == 2750


def test_of_many_jobs_those_that_others_need_come_first_and_the_longest_of_them() -> None:
    sizes = {f"{kind}{n}": 10 * n + len(kind) for n in range(MOST) for kind in ("base", "pair")}
    needed = {one: f"base{one[4:]}" if one.startswith("pair") else None for one in sizes}
    expected = [f"{kind}{n}" for kind in ("base", "pair") for n in reversed(range(MOST))]
    assert order(sizes, needed, 2) == expected
