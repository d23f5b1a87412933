"""What is true of numbers, against brute force."""

import operator
from itertools import permutations, product
from random import Random

import pytest

from backtracking.domains.countdown.solver import (
    Rule,
    can_complete,
    kind_of,
    reachable,
    solutions,
    spelled,
)

ALL = Rule("+-*", use_all=True)
SUMS = Rule("+", use_all=False)
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def by_force(numbers: tuple[int, ...], operations: str) -> set[int]:
    """All values of all pairings, one pair at a time."""
    if len(numbers) == 1:
        return {numbers[0]}
    found = set()
    for (one, other, *rest), sign in product(permutations(numbers), operations):
        found |= by_force((SIGNS[sign](one, other), *rest), operations)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_brute_force(seed: int) -> None:
    numbers = tuple(sorted(Random(seed).sample(range(1, 26), 4)))
    assert reachable(numbers, "+-*") == by_force(numbers, "+-*")


@pytest.mark.parametrize("seed", range(6))
def test_solutions_are_right_different_and_all_there(seed: int) -> None:
    random = Random(seed)
    numbers = tuple(random.sample(range(1, 26), 4))
    target = random.choice(sorted(v for v in reachable(tuple(sorted(numbers)), "+-*") if v > 0))
    found = [spelled(one) for one in solutions(numbers, int(target), ALL)]
    assert found and len(set(found)) == len(found)
    for text in found:
        assert eval(text) == target
        used = sorted(int(part) for part in text.replace("(", " ").replace(")", " ").split()
                      if part.isdigit())  # fmt: skip
        assert used == sorted(numbers)


def test_order_and_brackets_make_no_other_solution() -> None:
    assert [spelled(one) for one in solutions((2, 3, 4), 9, Rule("+", True))] == ["2 + 3 + 4"]
    assert len(list(solutions((1, 2, 3), 6, Rule("+*", True)))) == 2
    assert [spelled(one) for one in solutions((4, 9, 13, 17), 30, SUMS)] == [
        "13 + 17",
        "4 + 9 + 17",
    ]


def test_kinds_of_sums() -> None:
    assert kind_of(30, (4, 9), 30, SUMS) == "hit"
    assert kind_of(39, (4,), 30, SUMS) == kind_of(29, (), 30, SUMS) == "miss"
    assert kind_of(17, (4, 9), 30, SUMS) == "open_alive"
    assert kind_of(18, (4, 9), 30, SUMS) == "open_doomed"


def test_kinds_where_all_numbers_are_used() -> None:
    assert kind_of(60, (), 60, ALL) == "hit"
    assert kind_of(60, (1,), 60, ALL) == "open_alive"
    assert kind_of(60, (7,), 60, ALL) == "open_doomed"
    assert kind_of(75, (15,), 60, ALL) == "open_alive"
    assert kind_of(61, (), 60, ALL) == "miss"


def test_a_value_below_nothing_can_come_back() -> None:
    assert can_complete(-20, (3,), -17, ALL) and can_complete(-20, (3,), 23, ALL)


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="found `/`"):
        Rule("/", use_all=True)
