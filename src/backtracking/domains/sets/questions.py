"""Questions with right answers, of any data set: the domain `questions` (GSM8K, MATH-500, others).

Answers are compared by code that never guesses. Of the search nothing is known: no kinds, pairs,
posteriors or laws, so what rests on these is untestable; labels are the rules'.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from backtracking.domains.chat import prompt_ids
from backtracking.domains.domain import ProblemPlan
from backtracking.domains.grading.answers import THINK, Same, find_answer, grade_text
from backtracking.domains.grading.numbers import same_choice, same_number
from backtracking.domains.lexicon import Lexicon
from backtracking.domains.prose import Prose, chosen
from backtracking.domains.sets.lines import LEXICON
from backtracking.domains.sets.sources import DataSet
from backtracking.records.grades import Grade
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from backtracking.runtime import pins
from lifeboat.stage.errors import UserError


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
class Questions(Prose):
    """Questions of a data set.

    Attributes:
        section: all parameters.
        root: the folder that paths are from.
    """

    section: Section
    root: Path
    name: str = "questions"

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


def pin(params: Path) -> DataSet | None:
    """Writes what the data set of a parameter file lacks, commit and hashes, into the file.

    Returns:
        The data set as it is now; None where it lacked nothing, or another domain is studied.

    Raises:
        UserError: for a parameter that is wrong, and where the hub refuses.
    """
    if parameters.load_value(str, "domain.name", params) != "questions":
        return None
    data = parameters.load(Section, "questions", params).data
    found = data.pinned(params.parent)
    if found == data:
        return None
    lacked = {"revision": found.revision, "sha256": list(found.sha256)}
    pins.write(params, {"questions": {"data": lacked}})
    return found


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
