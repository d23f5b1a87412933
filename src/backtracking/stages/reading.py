"""Traces that models wrote anew, read as those of the study are; no model is loaded."""

from dataclasses import dataclass
from functools import cached_property

from tokenizers import Tokenizer

from backtracking.domains.domain import Domain
from backtracking.labels.learned import LEARNED, with_learned
from backtracking.records.grades import Grade
from backtracking.records.sentences import Sentence
from backtracking.records.traces import Problem, Trace
from backtracking.stages.study import Study


@dataclass(frozen=True)
class Reading:
    """How traces are read: by the domain, as the traces of the study are.

    Attributes:
        study: whose traces.
        domain: what is studied.
    """

    study: Study
    domain: Domain

    @cached_property
    def problems(self) -> dict[str, Problem]:
        """By their ids."""
        return {one.problem_id: one for one in self.study.problems}

    @cached_property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """Of all models, by role."""
        paths = {one: self.study.workspace.model(one) for one in self.study.roles.all}
        return {
            one: Tokenizer.from_file(str(path / "tokenizer.json")) for one, path in paths.items()
        }

    def read(self, role: str, trace: Trace) -> tuple[list[Sentence], Grade | None]:
        """The sentences of what a role wrote, and its grade where there is a right answer."""
        problem, tokenizer = self.problems[trace.problem_id], self.tokenizers[role]
        sentences = self.domain.read(trace, problem, tokenizer).sentences
        if self.study.primary == LEARNED:
            sentences = with_learned(sentences)
        grade = self.domain.grade(trace, problem, tokenizer) if problem.answer else None
        return sentences, grade
