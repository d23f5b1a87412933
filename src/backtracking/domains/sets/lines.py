"""Any JSON Lines of problems or traces, of which nothing is known: the domain `mute`.

Sentences are found in the text and labelled by rules. There are no kinds, pairs, questions,
posteriors or laws, and no answer to grade by; what rests on these is untestable.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from backtracking.domains.domain import ProblemPlan
from backtracking.domains.lexicon import FREE_OPENERS, Lexicon
from backtracking.domains.prose import Prose, chosen
from backtracking.models.tokens import token_ids
from backtracking.records import reader
from backtracking.records.decoding import may_be_absent
from backtracking.records.grades import Grade, Outcome
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params as parameters
from lifeboat.stage.errors import UserError

LEXICON = Lexicon(
    openers=FREE_OPENERS,
    marker="wait",
    alternative="so",
    openings={
        "backtracking": ("wait", "no", "actually", "alternatively"),
        "uncertainty-estimation": ("hmm", "maybe", "perhaps"),
        "example-testing": ("try", "suppose"),
        "final-answer": ("answer", "final"),
    },
    is_generic=True,
    ends=("</s>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<｜end▁of▁sentence｜>"),
)
_CURE = "A line is an object with `prompt` or `prompt_ids`, and may have `text` or `token_ids`."


@dataclass(frozen=True)
class Source:
    """Section `domain` of params.yaml.

    Attributes:
        name: `mute`.
        file: the JSON Lines, from the folder of params.yaml.
    """

    name: str
    file: str


@dataclass(frozen=True)
class Line:
    """One line of the file: a problem, and with a text one trace of it.

    Attributes:
        problem_id: its name; by default a hash of the prompt.
        split: where it goes; by default by a hash of its name.
        prompt, prompt_ids: what a model reads, as text or as ids.
        text, token_ids: what one wrote; without either, the study's model has to write.
        finish_reason: whether its writer ended it.
    """

    problem_id: str | None = may_be_absent()
    split: Literal["train", "dev", "test"] | None = may_be_absent()
    prompt: str | None = may_be_absent()
    prompt_ids: list[int] | None = may_be_absent()
    text: str | None = may_be_absent()
    token_ids: list[int] | None = may_be_absent()
    finish_reason: Literal["stop", "length"] = may_be_absent("stop")

    def __post_init__(self) -> None:
        if self.prompt is None and self.prompt_ids is None:
            raise ValueError("it has neither `prompt` nor `prompt_ids`")
        if self.prompt_ids == [] or self.token_ids == []:
            raise ValueError("`prompt_ids` and `token_ids` must not be empty")

    @property
    def name(self) -> str:
        """Its name, which is no other problem's."""
        if self.problem_id is not None:
            return self.problem_id
        return hashlib.sha256(repr((self.prompt, self.prompt_ids)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Lines(Prose):
    """Problems or traces of a file, without truth.

    Attributes:
        file: the file, for messages.
        lines: its lines.
    """

    file: Path
    lines: tuple[Line, ...]
    name: str = "mute"
    lexicon: Lexicon = LEXICON

    @classmethod
    def load(cls, params: Path) -> "Lines":
        """The lines that a parameter file names.

        Raises:
            UserError: for a parameter, or a line, that is missing or wrong.
        """
        source = parameters.load(Source, "domain", params)
        file = params.parent / source.file
        return cls(file, tuple(reader.read_lines(Line, file, _CURE)))

    def problems(self, plan: ProblemPlan) -> list[Problem]:
        """The file's problems, at most `n_study` of them, chosen and split by hash.

        Raises:
            UserError: where a split is left empty.
        """
        by_name = self._lines_by_name
        own = {name: first.split for name, (first, *_) in by_name.items() if first.split}
        return [
            Problem(name, split, "study", by_name[name][0].prompt or "", "")
            for name, split in chosen(by_name, plan, self.file, own).items()
        ]

    def prompt(self, problem: Problem, tokenizer: Tokenizer) -> list[int]:
        """The line's own ids, or those of its text."""
        line = self._lines_of(problem)[0]
        return line.prompt_ids or tokenizer.encode(problem.prompt).ids

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """The traces that the file has of a problem."""
        found = []
        prompt_ids = self.prompt(problem, tokenizer)
        for line in self._lines_of(problem):
            ids = line.token_ids or (token_ids(line.text, tokenizer) if line.text else [])
            if ids:
                trace_id = f"{problem.problem_id}/{len(found)}"
                text = tokenizer.decode(ids, skip_special_tokens=True)
                found.append(
                    Trace(
                        trace_id, problem.problem_id, problem.split, len(found), prompt_ids, ids,
                        text, line.finish_reason, {},
                    )
                )  # fmt: skip
        return found

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Never right or wrong: there is no answer to compare with."""
        outcome: Outcome = "unfinished" if trace.finish_reason == "length" else "unparsable"
        why = "it was cut" if outcome == "unfinished" else "no answer is known"
        return Grade(trace.trace_id, problem.problem_id, outcome, None, why)

    def _lines_of(self, problem: Problem) -> list[Line]:
        if problem.problem_id not in self._lines_by_name:
            raise UserError(
                f"{self.file} has no problem `{problem.problem_id}`.",
                "Make the problems again: `dvc --wait-for-lock repro problems`.",
            )
        return self._lines_by_name[problem.problem_id]

    @cached_property
    def _lines_by_name(self) -> dict[str, list[Line]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.name, []).append(line)
        return found
