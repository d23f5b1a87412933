"""Questions with right answers, of any data set: the domain `questions` (GSM8K, MATH-500, others).

Answers are compared by code that never guesses. Of the search nothing is known: no kinds, pairs,
posteriors or laws, so what rests on these is untestable; labels are the rules'.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal

from tokenizers import Tokenizer

from backtracking.domains.chat import prompt_ids
from backtracking.domains.domain import ProblemPlan, Reading, Recipe
from backtracking.domains.grading.answers import THINK, Same, find_answer, grade_text
from backtracking.domains.grading.numbers import same_choice, same_number
from backtracking.domains.lexicon import Lexicon
from backtracking.domains.prose import chosen, read_prose, sentence_ends
from backtracking.domains.sets.lines import LEXICON
from backtracking.domains.sets.sources import DataSet
from backtracking.records.grades import Grade, Observation
from backtracking.records.pairs import MinimalPair
from backtracking.records.sentences import Kind
from backtracking.records.tokens import Pattern, Turning
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from backtracking.models.loading import LoadedModel


@dataclass(frozen=True)
class Section:
    """Section `questions` of params.yaml.

    Attributes:
        data: where the rows stand.
        question, answer: their columns; an answer with a `####` line or a box is what that holds.
        compare: whether answers are numbers, mathematics (by math-verify) or letters of choices.
        template: what a model reads, with `{question}` in it: its chat template.
        end: the token that ends a trace.
    """

    data: DataSet
    question: str
    answer: str
    compare: Literal["number", "mathematics", "choice"]
    template: str
    end: str


@dataclass(frozen=True)
class Questions:
    """Questions of a data set.

    Attributes:
        section: all parameters.
        root: the folder that paths are from.
    """

    section: Section
    root: Path
    name: str = "questions"
    kinds: tuple[Kind, ...] = ()

    @classmethod
    def load(cls, params: Path) -> "Questions":
        """The domain of a parameter file; no row is read yet.

        Raises:
            UserError: for a parameter that is missing or wrong.
        """
        return cls(parameters.load(Section, "questions", params), params.parent)

    @property
    def lexicon(self) -> Lexicon:
        """Words that models are known to turn by."""
        return replace(LEXICON, ends=(self.section.end,))

    @property
    def taught_rates(self) -> Mapping[str, float]:
        """None is known."""
        return {}

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """At most `n_study` questions, chosen and split by hash; each question once.

        Raises:
            UserError: for a row without question or answer, and where a split is left empty.
        """
        section = self.section
        answer_by_question = {}
        for number, row in enumerate(section.data.rows(self.root), start=1):
            asked, given = (_text(row, it, number) for it in (section.question, section.answer))
            answer_by_question[asked] = find_answer(given) or given.strip()
        names = {hashlib.sha256(one.encode()).hexdigest()[:16]: one for one in answer_by_question}
        return [
            Problem(name, split, "study", names[name], answer_by_question[names[name]])
            for name, split in chosen(names, plan, section.data.source).items()
        ]

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The question in the chat template."""
        return prompt_ids(self.section.template, problem.prompt, tokenizer)

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """None: a model writes the traces."""
        return []

    def read(
        self, trace: Trace, problem: Problem, tokenizer: Tokenizer, *, with_laws: bool = False
    ) -> Reading:
        """Sentences of the text, labelled by rules; nothing else is known."""
        return Reading(read_prose(trace, tokenizer))

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Whether the trace's answer is the right one."""
        return grade_text(
            tokenizer.decode(trace.token_ids, skip_special_tokens=False),
            problem.answer,
            _same(self.section.compare),
            finish_reason=trace.finish_reason,
            begun=self.section.template.rstrip().endswith(THINK),
            ids=(trace.trace_id, trace.problem_id),
        )

    def pattern(self, tokenizer: Tokenizer) -> tuple[Pattern, ...]:
        """Tokens that end a sentence."""
        return (sentence_ends(tokenizer),)

    def turning(self, tokenizer: Tokenizer) -> Turning | None:
        """None: only words tell."""
        return None

    def pairs(
        self,
        trace: Trace,
        problem: Problem,
        reading: Reading,
        tokenizer: Tokenizer,
        random: Random,
    ) -> Iterator[MinimalPair]:
        """None can be made."""
        return iter(())

    def recipe(self, role: str) -> Recipe | None:
        """None: every model is taken from elsewhere."""
        return None

    def examine(
        self, base: "LoadedModel", n: int, random: Random
    ) -> Sequence[Callable[[], list[Observation]]]:
        """Nothing is asked."""
        return []


def _same(compare: str) -> Same:
    if compare == "mathematics":  # math-verify, and sympy with it
        from backtracking.domains.grading.mathematics import same_mathematics

        return same_mathematics
    return same_choice if compare == "choice" else same_number


def _text(row: Mapping[str, Any], column: str, number: int) -> str:
    if not isinstance(found := row.get(column), str | int):
        raise UserError(
            f"Row {number} of the data set: expected text in the column `{column}`, found "
            f"{found!r}; its columns are {', '.join(row)}.",
            "Name the columns in the section `questions` of params.yaml.",
        )
    return str(found)
