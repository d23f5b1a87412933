"""Any file of problems or traces, of which nothing is known: the domain `mute`.

A file is JSON Lines, plain or in gzip, or Parquet. Its rows are lines of our own (`Line`), or,
where they have a `trace_id`, traces of any format that `records/imported.py` reads.

Sentences are found in the text and labelled by rules. There are no kinds, pairs, questions,
posteriors or laws, and no answer to grade by; what rests on these is untestable.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from backtracking.domains import alignment, chat
from backtracking.domains.domain import ProblemPlan
from backtracking.domains.grading.answers import THINK
from backtracking.domains.lexicon import FREE_OPENERS, Lexicon
from backtracking.domains.prose import Prose, chosen
from backtracking.domains.sets.sources import read_rows
from backtracking.models.tokens import token_ids
from backtracking.records import imported, reader
from backtracking.records.decoding import may_be_absent
from backtracking.records.grades import Grade, Outcome
from backtracking.records.imported import ImportedTrace
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
_CURE = (
    "A line is an object with `prompt` or `prompt_ids`, and may have `text` or `token_ids`; a "
    "trace from elsewhere has a `trace_id`, a `prompt` or `problem`, and what was written."
)


@dataclass(frozen=True)
class Source:
    """Section `domain` of params.yaml.

    Attributes:
        name: `mute`.
        file: the lines, from the folder of params.yaml.
    """

    name: str
    file: str


@dataclass(frozen=True)
class TemplatedSource(Source):
    """The section where it has a template.

    Attributes:
        template: what a model reads around the problem of a trace whose prompt is not known, with
            `{question}` in it.
    """

    template: str


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
        return _hash((self.prompt, self.prompt_ids))

    def read_ids(self, tokenizer: Tokenizer) -> list[int]:
        """The ids that a model reads: its own, or those of its text."""
        return self.prompt_ids or tokenizer.encode(self.prompt or "").ids


@dataclass(frozen=True)
class ImportedLine(Line):
    """A trace of another format.

    Attributes:
        template: what stands around `prompt`, where that is a problem; None where that is all.
        origin: how its source calls it and its writer.
    """

    template: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def read_ids(self, tokenizer: Tokenizer) -> list[int]:
        """As of any line, and a problem within its template."""
        if self.template is None:
            return super().read_ids(tokenizer)
        return chat.prompt_ids(self.template, self.prompt or "", tokenizer)


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
        has_template = "template" in parameters.read(params)["domain"]
        source = parameters.load(TemplatedSource if has_template else Source, "domain", params)
        template = source.template if isinstance(source, TemplatedSource) else None
        file = params.parent / source.file
        return cls(file, tuple(_read(list(_rows(file)), template)))

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
        """What its first line has a model read."""
        return self._lines_of(problem)[0].read_ids(tokenizer)

    def given(self, problem: Problem, tokenizer: Tokenizer) -> list[Trace]:
        """The traces that the file has of a problem, each with its text beside its ids."""
        found = []
        for line in self._lines_of(problem):
            ids = line.token_ids or (token_ids(line.text, tokenizer) if line.text else [])
            if ids:
                trace_id = f"{problem.problem_id}/{len(found)}"
                text = tokenizer.decode(ids, skip_special_tokens=True)
                found.append(
                    Trace(
                        trace_id, problem.problem_id, problem.split, len(found),
                        line.read_ids(tokenizer), ids, text, line.finish_reason,
                        _known(line, ids, tokenizer),
                    )
                )  # fmt: skip
        return found

    def grade(self, trace: Trace, problem: Problem, tokenizer: Tokenizer) -> Grade:
        """Never right or wrong: there is no answer to compare with."""
        outcome: Outcome = "unfinished" if trace.finish_reason == "length" else "unparsable"
        cut = "it was cut, or nobody saw it end"
        why = cut if outcome == "unfinished" else "no answer is known"
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


def _known(line: Line, ids: Sequence[int], tokenizer: Tokenizer) -> dict[str, Any]:
    """What is known of a given trace: whence it comes, and whether its ids give back its text."""
    known = dict(line.origin) if isinstance(line, ImportedLine) else {}
    if not line.text:
        return known
    found = alignment.align(line.text, ids, tokenizer, is_tokenized=line.token_ids is None)
    return known | {alignment.KEY: reader.encode(found)}


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file, each with where it stands; null in Parquet is what a row has not."""
    if file.suffix != ".parquet":
        yield from imported.rows_of(file, _CURE)
        return
    for number, row in enumerate(read_rows(file), start=1):
        yield f"{file}, line {number}", _without_nulls(row)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    return [_without_nulls(one) for one in value] if isinstance(value, list) else value


def _read(rows: Sequence[tuple[str, Mapping[str, Any]]], template: str | None) -> list[Line]:
    """The lines of a file: all of our own, or all traces from elsewhere."""
    if not rows or "trace_id" not in rows[0][1]:
        return [reader.decode(Line, row, where, _CURE) for where, row in rows]
    traces = imported.traces_of(rows)
    name_by_trace = _names(traces)
    return [
        _imported(trace, name_by_trace.get(trace.trace_id), template, where)
        for trace, (where, _) in zip(traces, rows, strict=True)
    ]


def _names(traces: Sequence[ImportedTrace]) -> dict[str, str]:
    """Names of the traces' problems, with a hash where several problems have one name."""
    problems = defaultdict[str | None, set[str | None]](set)
    for trace in traces:
        problems[trace.problem_id].add(trace.problem)
    return {
        trace.trace_id: name if len(problems[name]) == 1 else f"{name}-{_hash(trace.problem)}"
        for trace in traces
        if (name := trace.problem_id) is not None
    }


def _imported(
    trace: ImportedTrace, name: str | None, template: str | None, where: str
) -> ImportedLine:
    prompt = trace.problem if trace.prompt is None else trace.prompt
    if prompt is None and not trace.prompt_ids:
        raise UserError(f"{where}: it has neither `prompt` nor `problem`.", _CURE)
    around = template if trace.prompt is None and not trace.prompt_ids else None
    return ImportedLine(
        problem_id=name,
        prompt=prompt,
        prompt_ids=trace.prompt_ids or None,
        text=_written(trace, around or prompt or "") or None,
        token_ids=trace.token_ids or None,
        finish_reason="stop" if trace.finish_reason in ("stop", "empty") else "length",
        template=around,
        origin={"trace_id": trace.trace_id, "model": trace.model},
    )


def _written(trace: ImportedTrace, before: str) -> str:
    """What was written; thinking that the prompt opens is not opened again where we put it so."""
    ours = trace.text is None or trace.prompt is None
    if ours and before.rstrip().endswith(THINK) and trace.written.startswith(THINK):
        space = before[len(before.rstrip()) :]
        return trace.written.removeprefix(THINK).removeprefix(space)
    return trace.written


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
