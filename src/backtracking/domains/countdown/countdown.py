"""Number searches in natural language as a domain: kinds are known exactly from what is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

from tokenizers import Tokenizer

from backtracking.domains.chat import prompt_ids
from backtracking.domains.countdown import language
from backtracking.domains.countdown.expressions import read_expression
from backtracking.domains.countdown.free import read_free
from backtracking.domains.countdown.laws import laws_of
from backtracking.domains.countdown.pairs import find_pairs
from backtracking.domains.countdown.recipes import FALSE_CLAIMS, WrittenRecipe
from backtracking.domains.countdown.world import World, make_problem, read_question
from backtracking.domains.countdown.writer import Policy
from backtracking.domains.countdown.written import RULE, read_written
from backtracking.domains.domain import ProblemPlan, Reading, Recipe, taught_rates
from backtracking.domains.grading.answers import THINK, grade_text
from backtracking.domains.lexicon import FREE_OPENERS, Asked, Lexicon
from backtracking.domains.prose import sentence_ends
from backtracking.models.tokens import token_ids, token_set
from backtracking.records.grades import Grade, Observation
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from backtracking.models.loading import LoadedModel

KINDS = (
    Kind("miss", "dead", True),
    Kind("hit", "solved", True),
    Kind("open_alive", "live", False),
    Kind("open_doomed", "dead", False),
    Kind("error", "unknown", False),
    Kind("other", "unknown", False),
)
FREE_LEXICON = Lexicon(
    openers=FREE_OPENERS,
    marker="wait",
    alternative="so",
    questions=(Asked("report", " Is that equal to the target? Answer:", ("no",), ("yes",)),),
    openings={
        "backtracking": ("wait", "no", "actually", "alternatively"),
        "uncertainty-estimation": ("hmm", "maybe", "perhaps"),
        "example-testing": ("try", "suppose"),
        "final-answer": ("answer", "final"),
    },
    is_generic=True,
)


@dataclass(frozen=True)
class Section:
    """Section `countdown` of params.yaml.

    Attributes:
        language: `written` where all models write the writer's sentences, which are then read
            exactly; `free` for any text, of which equations are read.
        template: what a model reads, with `{question}` in it: its chat template.
        end: the token that ends a trace.
        world: the problems.
        writer: the policy of the written searches.
    """

    language: Literal["written", "free"]
    template: str
    end: str
    world: World
    writer: Policy

    def __post_init__(self) -> None:
        if self.language == "written" and self.world.rule != RULE:
            raise ValueError("written searches are sums (operations `+`, use_all false).")


@dataclass(frozen=True)
class Countdown:
    """Searches for an expression of given numbers that makes a target.

    Attributes:
        section: all parameters.
    """

    section: Section
    name: str = "countdown"
    kinds: tuple[Kind, ...] = KINDS

    @classmethod
    def load(cls, params: Path) -> "Countdown":
        """The domain of a parameter file.

        Raises:
            UserError: for a parameter that is missing or wrong.
        """
        return cls(parameters.load(Section, "countdown", params))

    @property
    def lexicon(self) -> Lexicon:
        """The writer's words, or those that models are known to turn by."""
        words = language.LEXICON if self._is_written else FREE_LEXICON
        return replace(words, ends=(self.section.end,))

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """How often the writer turns and idles, at a miss and elsewhere."""
        if not self._is_written:
            return {}
        return taught_rates(self.section.writer.p_notice, self.section.writer.p_idle)

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """Distinct problems of the study; none is of a held-out kind.

        Raises:
            UserError: where the world has not as many.
        """
        world = self.section.world
        found = [
            make_problem(numbers, target, world.rule, plan.split_shares)
            for numbers, target in world.distinct(Random(plan.seed), plan.n_study)
        ]
        if len(found) < plan.n_study:
            raise UserError(
                f"params.yaml, section `problems`: `n_study` asks for {plan.n_study} distinct "
                f"problems, and {len(found)} were found.",
                "Ask for fewer, or make `countdown.world` larger.",
            )
        return found

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The question in the chat template."""
        return prompt_ids(self.section.template, problem.prompt, tokenizer)

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """None: a model writes the traces."""
        return []

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """The sentences with the kind of each end; where they are written, the writer's law too."""
        numbers, target = read_question(problem.prompt)
        if self._is_written:
            sentences = read_written(trace, numbers, target, tokenizer)
            if not with_laws:
                return Reading(sentences)
            heard = [language.understand(one.text) for one in sentences]
            return Reading(sentences, laws=laws_of(heard, numbers, target, self.section.writer))
        return Reading(read_free(trace, numbers, target, self.section.world.rule, tokenizer))

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Right where the answer makes the target of the numbers, each used once."""
        return grade_text(
            tokenizer.decode(trace.token_ids, skip_special_tokens=False),
            problem.prompt,
            self._solves,
            finish_reason=trace.finish_reason,
            begun=self.section.template.rstrip().endswith(THINK),
            ids=(trace.trace_id, trace.problem_id),
        )

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """The full stop behind an equation, or of any sentence in free text: no oracle."""
        return _after_equations(tokenizer) if self._is_written else (sentence_ends(tokenizer),)

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """A turn begins with one of its openers; in free text only words tell."""
        if not self._is_written:
            return None
        (stops,) = sentence_ends(tokenizer).slots
        openers = token_set("openers", language.OPENERS, tokenizer).ids
        end = tokenizer.token_to_id(self.section.end)
        ends = frozenset() if end is None else frozenset({end})
        return Turning(stops or frozenset(), ends, (), frozenset(openers), (), ())

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """The same tokens under another target."""
        numbers, _ = read_question(problem.prompt)
        world = self.section.world
        return find_pairs(
            trace, reading.sentences, numbers, world.targets, world.rule, tokenizer, random
        )

    def recipe(self, role: str) -> Recipe | None:
        """How `reasoning` and `shuffled` are fine-tuned where searches are written; else None."""
        if not self._is_written or role not in FALSE_CLAIMS:
            return None
        section = self.section
        return WrittenRecipe(
            section.world,
            section.writer,
            section.template,
            section.end,
            role == "shuffled",
            FALSE_CLAIMS[role],
        )

    def examine(
        self, base: "LoadedModel", n: int, random: Random
    ) -> Sequence[Callable[[], list[Observation]]]:
        """Nothing is asked."""
        return []

    @property
    def _is_written(self) -> bool:
        return self.section.language == "written"

    def _solves(self, answer: str, asked: str) -> bool | None:
        """Whether an answer solves a question; None where it is no expression of numbers."""
        expression = read_expression(answer)
        if expression is None:
            return None
        numbers, target = read_question(asked)
        rule, left = self.section.world.rule, list(numbers)
        for number in expression.numbers:
            if number not in left:
                return False
            left.remove(int(number))
        is_legal = set(expression.operations) <= set(rule.operations)
        return is_legal and expression.value == target and not (rule.use_all and left)


def _after_equations(tokenizer: Tokenizer) -> tuple[Pattern, ...]:
    """Ids of "= 30." by how many they are, each place with all that may stand there."""
    tails: dict[int, list[set[int]]] = {}
    for number in range(1, 200):
        ids = token_ids(f"1 + 1 = {number}.", tokenizer)
        before = token_ids("1 + 1 =", tokenizer)
        if ids[: len(before)] != before:
            continue
        tail = ids[len(before) - 1 :]
        slots = tails.setdefault(len(tail), [set() for _ in tail])
        for slot, token in zip(slots, tail, strict=True):
            slot.add(token)
    return tuple(
        Pattern(tuple(frozenset(slot) for slot in slots)) for _, slots in sorted(tails.items())
    )
