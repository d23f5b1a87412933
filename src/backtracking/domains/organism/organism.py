"""The model organism as a domain: a world in which the true state of every token is known."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from backtracking.domains.domain import ProblemPlan, Reading, Recipe, taught_rates
from backtracking.domains.lexicon import Lexicon
from backtracking.domains.organism import reading, words
from backtracking.domains.organism.donors import find_pairs
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.world import World, make_problem, split_of
from backtracking.records.grades import Grade, Observation
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from backtracking.models.loading import LoadedModel

DRAWS_PER_PROBLEM = 60


@dataclass(frozen=True)
class Section:
    """Section `domain` of params.yaml; the organism has no file."""

    name: str
    file: str


@dataclass(frozen=True)
class Organism:
    """Sums of distinct numbers, searched by a stochastic policy whose law is known.

    Attributes:
        world: distribution of problems.
        policy: how searches are written.
        base_policy: how the base's corpus is written.
    """

    world: World
    policy: Policy
    base_policy: BasePolicy
    name: str = "organism"
    kinds: tuple[Kind, ...] = words.ORGANISM_KINDS
    lexicon: Lexicon = words.LEXICON

    @classmethod
    def load(cls, params: Path) -> "Organism":
        """The organism of a parameter file.

        Raises:
            UserError: for a parameter that is missing or wrong.
        """
        parameters.load(Section, "domain", params)
        return cls(
            parameters.load(World, "world", params),
            parameters.load(Policy, "policy", params),
            parameters.load(BasePolicy, "base_policy", params),
        )

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """How often the policy turns and idles, at dead ends that it sees and elsewhere."""
        return taught_rates(self.policy.p_notice, self.policy.p_idle)

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """Distinct problems of the study pool, then those of the held-out size.

        Raises:
            UserError: where the world does not have as many.
        """
        random = Random(plan.seed)
        study: dict[str, Problem] = {}
        for numbers, target in self._draws(random, plan.n_study, None):
            if len(study) < plan.n_study and self.world.is_study(numbers, target):
                split = split_of(numbers, target, plan.split_shares)
                problem = make_problem(numbers, target, "study", split)
                study.setdefault(problem.problem_id, problem)
        held_out: dict[str, Problem] = {}
        for numbers, target in self._draws(random, plan.n_held_out, self.world.held_out_size):
            if len(held_out) < plan.n_held_out:
                problem = make_problem(numbers, target, "held-out-size", "test")
                held_out.setdefault(problem.problem_id, problem)
        _require_enough("n_study", len(study), plan.n_study)
        _require_enough("n_held_out", len(held_out), plan.n_held_out)
        return [*study.values(), *held_out.values()]

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The start token and the problem's words."""
        return tokenizer.encode(problem.prompt).ids

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """None: a model writes the traces."""
        return []

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """The trace replayed: exact labels and the truth of every sentence."""
        return reading.read(trace, problem, tokenizer, self.policy, with_laws=with_laws)

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Right where the trace finds the target and truly stands on it."""
        return reading.grade(trace, problem, tokenizer)

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """The full stop of a comparison, dead end or not: no oracle."""
        return (words.pattern(tokenizer),)

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """Backtracking sentences as the grammar has them."""
        return words.turning(tokenizer)

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """Live points under a target that makes them dead, and points that are over."""
        return find_pairs(trace, tokenizer.get_vocab(), random)

    def recipe(self, role: str) -> Recipe | None:
        """How a role's model is trained.

        Raises:
            UserError: for a role that the organism does not have.
        """
        from backtracking.domains.organism.recipes import recipe_of

        return recipe_of(role, self.world, self.policy, self.base_policy)

    def examine(
        self, base: "LoadedModel", n: int, random: Random
    ) -> Sequence[Callable[[], list[Observation]]]:
        """The base's sums, and its reports on (total, target) pairs that nobody trained on."""
        from backtracking.domains.organism import evaluation

        return evaluation.parts(base, self.world, self.base_policy, n, random)

    def _draws(
        self, random: Random, n: int, size: int | None
    ) -> Iterator[tuple[tuple[int, ...], int]]:
        """As many draws as should be enough for `n` distinct problems."""
        for _ in range(n * DRAWS_PER_PROBLEM):
            yield self.world.draw(random, size)


def _require_enough(key: str, found: int, wanted: int) -> None:
    if found < wanted:
        raise UserError(
            f"params.yaml, section `problems`: `{key}` asks for {wanted} distinct problems, "
            f"and {found} were found in {DRAWS_PER_PROBLEM} draws for each.",
            "Ask for fewer, or make the world larger (`max_number`, `sizes`, `study_share`).",
        )
