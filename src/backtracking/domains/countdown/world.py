"""Which searches there are, and which of them nobody trains on."""

import hashlib
import re
from dataclasses import dataclass
from itertools import islice
from random import Random

from backtracking.domains.countdown.language import listed
from backtracking.domains.countdown.solver import Rule, solutions, spelled
from backtracking.records.traces import SPLITS, Problem
from lifeboat.stage.errors import UserError

MANY, MOST = 50, 5000
"""Draws for each problem of the study, and draws for any problem, at most."""


@dataclass(frozen=True)
class World:
    """The distribution of problems.

    Attributes:
        sizes: how many numbers a problem may have.
        max_number: distinct numbers are drawn from 1 to this.
        targets: the lowest and the highest target.
        operations: what a solution may do, of `+-*`.
        use_all: whether it has to use all numbers; else some.
        min_solutions: different solutions that a problem has at least.
        study_share: share of problems, by hash, that no model here trains on.
    """

    sizes: tuple[int, ...]
    max_number: int
    targets: tuple[int, int]
    operations: str
    use_all: bool
    min_solutions: int
    study_share: float

    def __post_init__(self) -> None:
        if min(self.sizes) < 3 or max(self.sizes) > min(6, self.max_number):
            raise ValueError("sizes must be from 3 to 6 numbers, and max_number that many.")
        if not 0 < self.targets[0] < self.targets[1] or not 0 < self.study_share < 1:
            raise ValueError("targets must rise from 1 or more, and study_share lie in (0, 1).")
        _ = self.rule

    @property
    def rule(self) -> Rule:
        """What a solution may be."""
        return Rule(self.operations, self.use_all)

    def draw(self, random: Random) -> tuple[tuple[int, ...], int]:
        """Numbers in prompt order and a target that is none of them, with enough solutions.

        Raises:
            UserError: where such problems are too rare.
        """
        low, high = self.targets
        for _ in range(MOST):
            numbers = tuple(random.sample(range(1, self.max_number + 1), random.choice(self.sizes)))
            target = self._target(numbers, random)
            if target in numbers or not low <= target <= high:
                continue
            found = solutions(numbers, target, self.rule)
            if len(list(islice(found, self.min_solutions))) >= self.min_solutions:
                return numbers, target
        raise UserError(
            f"params.yaml, section `countdown.world`: no problem with {self.min_solutions} "
            f"solutions in {MOST} draws.",
            "Make it larger (`sizes`, `max_number`, `targets`), or ask for fewer solutions.",
        )

    def distinct(self, random: Random, n: int) -> list[tuple[tuple[int, ...], int]]:
        """Different problems of the study: n of them, or as many as were found in many draws."""
        found: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}
        for _ in range(n * MANY):
            numbers, target = self.draw(random)
            if self.is_study(numbers, target):
                found.setdefault((*sorted(numbers), target), (numbers, target))
            if len(found) == n:
                break
        return list(found.values())

    def is_study(self, numbers: tuple[int, ...], target: int) -> bool:
        """Whether a problem belongs to the study, whatever the order of its numbers."""
        return hash_share("pool", sorted(numbers), target) < self.study_share

    def _target(self, numbers: tuple[int, ...], random: Random) -> int:
        """A sum of some numbers where sums of some are sought, else any value in the range."""
        if self.operations == "+" and not self.use_all:
            return sum(random.sample(numbers, random.randint(2, len(numbers) - 1)))
        return random.randint(*self.targets)


def make_problem(
    numbers: tuple[int, ...], target: int, rule: Rule, shares: tuple[float, float, float]
) -> Problem:
    """The record of one problem; its name is its content, its answer one solution."""
    return Problem(
        problem_id=f"{'-'.join(map(str, sorted(numbers)))}-to-{target}",
        split=_split_of(numbers, target, shares),
        pool="study",
        prompt=question(numbers, target, rule),
        answer=spelled(next(solutions(numbers, target, rule))),
    )


def question(numbers: tuple[int, ...], target: int, rule: Rule) -> str:
    """What is asked, in words."""
    if rule == Rule("+", use_all=False):
        asked = f"Find some of the numbers {listed(numbers)} that add up to {target}."
    else:
        signs = " and ".join(rule.operations)
        used = "each" if rule.use_all else "some"
        asked = f"Using {used} of the numbers {listed(numbers)} once, with {signs}, make {target}."
    return (
        f"{asked} Give the sum in \\boxed{{}}."
        if rule.operations == "+"
        else (f"{asked} Give the expression in \\boxed{{}}.")
    )


def read_question(text: str) -> tuple[tuple[int, ...], int]:
    """Numbers and target of a question, the inverse of `question`."""
    *numbers, target = map(int, re.findall(r"\d+", text))
    return tuple(numbers), target


def hash_share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) / 2**64


def _split_of(numbers: tuple[int, ...], target: int, shares: tuple[float, float, float]) -> str:
    draw = hash_share("split", sorted(numbers), target)
    for split, share in zip(SPLITS, shares, strict=True):
        if draw < share:
            return split
        draw -= share
    return SPLITS[-1]
