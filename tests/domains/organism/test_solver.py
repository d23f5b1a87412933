"""The judge: kinds of decision points against brute force, and independence of the policy."""

import ast
from itertools import chain, combinations
from pathlib import Path

import pytest
from written import Written

from backtracking.domains.organism import solver
from backtracking.domains.organism.solver import decision_kind, solutions


def all_subsets(numbers: list[int]) -> list[tuple[int, ...]]:
    sizes = range(len(numbers) + 1)
    return list(chain.from_iterable(combinations(numbers, size) for size in sizes))


def kind_by_brute_force(path: list[int], left: list[int], target: int) -> str:
    total = sum(path)
    reachable = {total + sum(subset) for subset in all_subsets(left)}
    if total == target:
        return "solved"
    if total > target:
        return "over"
    if not left:
        return "exhausted"
    return "alive" if target in reachable else "doomed"


def test_kinds_are_those_of_brute_force_over_all_subsets(written: list[Written]) -> None:
    seen = set()
    for trace in written[:300]:
        path: list[int] = []
        left_by_depth = [list(trace.numbers)]
        for sentence, reading in zip(trace.sentences, trace.readings, strict=True):
            if sentence[0] == "Try":
                number = int(sentence[1])
                left_by_depth[-1].remove(number)
                left_by_depth.append(list(left_by_depth[-1]))
                path.append(number)
            elif sentence[0] == "Undo":
                assert int(sentence[1]) == path.pop()
                left_by_depth.pop()
            expected = kind_by_brute_force(path, left_by_depth[-1], trace.target)
            assert (reading.kind, reading.true_total) == (expected, sum(path))
            assert reading.depth == len(path)
            assert reading.parent == sum(path[:-1])
            seen.add(expected)
    assert seen == {"over", "exhausted", "doomed", "alive", "solved"}


def test_solutions_are_those_of_brute_force() -> None:
    for numbers, target in (((3, 5, 9, 12), 17), ((1, 2, 3, 4, 5), 6), ((7, 8), 20)):
        expected = [subset for subset in all_subsets(list(numbers)) if sum(subset) == target]
        assert sorted(solutions(numbers, target)) == sorted(expected)


@pytest.mark.parametrize(
    ("total", "left", "kind"),
    [(28, (1,), "solved"), (29, (), "over"), (27, (), "exhausted"), (20, (7, 9), "doomed"),
     (20, (8, 9), "alive")],
)  # fmt: skip
def test_kinds_of_chosen_points(total: int, left: tuple[int, ...], kind: str) -> None:
    assert decision_kind(total, 28, left) == kind


def test_the_solver_shares_no_code_with_the_policy() -> None:
    tree = ast.parse(Path(str(solver.__file__)).read_text())
    modules = {
        name
        for node in ast.walk(tree)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
    }  # fmt: skip
    assert not any(module.startswith("backtracking") for module in modules)
