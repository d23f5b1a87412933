"""Which problems there are, and which of them nobody may train on.

A problem is a few distinct numbers and a target that some of them sum to. Everything held out is
held out by a hash of the thing itself, so no list has to be kept and no run can leak: problems of
the study, their splits, and the (total, target) pairs that no training trace compares.
"""

import hashlib
from dataclasses import dataclass
from random import Random

from backtracking.domains.organism.policy import Sentence
from backtracking.domains.organism.solver import solutions
from backtracking.records.traces import SPLITS, Problem


@dataclass(frozen=True)
class World:
    """The distribution of problems.

    Attributes:
        sizes: how many numbers a problem may have.
        held_out_size: a size that no training problem has.
        max_number: numbers are drawn from 1 to this.
        min_solutions: subsets that reach the target; more of them make the search shorter.
        study_share: share of problems, by hash, that the organism never trains on.
        held_out_pair_share: share of (total, target) pairs that no training trace compares. Pairs
            of neighbours are never held out: which of 12 and 13 is larger can only be told by
            having compared them, and asking for it would measure luck.
    """

    sizes: tuple[int, ...]
    held_out_size: int
    max_number: int
    min_solutions: int
    study_share: float
    held_out_pair_share: float

    def __post_init__(self) -> None:
        if self.held_out_size in self.sizes:
            raise ValueError(f"held_out_size {self.held_out_size} must not be one of sizes.")
        if min(self.sizes) < 3 or max(*self.sizes, self.held_out_size) > self.max_number:
            raise ValueError("a problem needs 3 numbers or more, and max_number that many to draw.")
        if sum(range(self.max_number - self.held_out_size + 1, self.max_number + 1)) > 72:
            raise ValueError("the numbers of a problem may sum to 72 at the most.")
        if not (0 < self.study_share < 1 and 0 <= self.held_out_pair_share < 1):
            raise ValueError("study_share and held_out_pair_share are shares between 0 and 1.")

    def draw(self, random: Random, size: int | None = None) -> tuple[tuple[int, ...], int]:
        """Numbers in prompt order and a target, from the whole distribution."""
        while True:
            n = size or random.choice(self.sizes)
            numbers = tuple(random.sample(range(1, self.max_number + 1), n))
            target = sum(random.sample(numbers, random.randint(2, n - 1)))
            if len(solutions(numbers, target)) >= self.min_solutions:
                return numbers, target

    def is_study(self, numbers: tuple[int, ...], target: int) -> bool:
        """Whether a problem belongs to the study, whatever the order of its numbers."""
        return hash_share("pool", sorted(numbers), target) < self.study_share

    def is_held_out_pair(self, total: int, target: int) -> bool:
        """Whether training traces may not compare this total with this target."""
        apart = abs(total - target) > 1
        return apart and hash_share("pair", total, target) < self.held_out_pair_share

    def compares_held_out_pair(self, sentences: list[Sentence]) -> bool:
        """Whether a trace compares a held-out pair."""
        return any(
            self.is_held_out_pair(int(words[1]), int(words[3]))
            for words in sentences
            if words[0] == "Compare"
        )


def hash_share(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts alone: the one source of every split."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def make_problem(numbers: tuple[int, ...], target: int, pool: str, split: str) -> Problem:
    """The record of one problem; its name is its content, its answer one exact solution."""
    name = "-".join(map(str, sorted(numbers)))
    return Problem(
        problem_id=f"{name}-to-{target}",
        split=split,
        pool=pool,
        prompt=f"Numbers {' '.join(map(str, numbers))}. Target {target}.",
        answer=" ".join(map(str, solutions(numbers, target)[0])),
    )


def split_of(numbers: tuple[int, ...], target: int, shares: tuple[float, float, float]) -> str:
    """Train, dev or test by the problem's hash; `shares` sum to 1 in that order."""
    draw = hash_share("split", sorted(numbers), target)
    for split, share in zip(SPLITS, shares, strict=True):
        if draw < share:
            return split
        draw -= share
    return SPLITS[-1]


def read_prompt(prompt: str) -> tuple[tuple[int, ...], int]:
    """Numbers and target of a problem's prompt, the inverse of `make_problem`."""
    numbers, target = prompt.removeprefix("Numbers ").removesuffix(".").split(". Target ")
    return tuple(int(number) for number in numbers.split()), int(target)
