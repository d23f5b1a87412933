"""The records that the stages hand on: problems, traces, sentences, as JSON Lines."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

SPLITS = ("train", "dev", "test")

R = TypeVar("R", "Problem", "Trace", "Sentence")


@dataclass(frozen=True)
class TokenSpan:
    """Half-open range of positions in `prompt_ids + token_ids` of a trace."""

    start: int
    end: int


@dataclass(frozen=True)
class Problem:
    """A question with its exact answer.

    Attributes:
        problem_id: stable name, made from the problem itself.
        split: train, dev or test, by a hash of the problem.
        pool: `study`, or a held-out kind that is only used to measure generalisation.
        prompt: the text that the model reads.
        answer: the exact answer.
    """

    problem_id: str
    split: str
    pool: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Trace:
    """What a model wrote for one problem: the very token ids, never re-tokenised.

    Attributes:
        trace_id: `<problem_id>/<sample>`.
        problem_id: the problem.
        split: the problem's split.
        sample: number of the rollout, from 0.
        prompt_ids: token ids that the model read.
        token_ids: token ids that it wrote, the end token included where there is one.
        text: `token_ids` decoded without special tokens.
        finish_reason: `stop` (end token), `length` (truncated) or `empty` (end token at once).
        sampling: seed, temperature and length limit.
    """

    trace_id: str
    problem_id: str
    split: str
    sample: int
    prompt_ids: list[int]
    token_ids: list[int]
    text: str
    finish_reason: str
    sampling: dict[str, Any]

    @property
    def ids(self) -> list[int]:
        """All token ids, prompt first; positions everywhere count in this list."""
        return self.prompt_ids + self.token_ids


@dataclass(frozen=True)
class Sentence:
    """One sentence of a trace, as a token range, with one labeller's label.

    Attributes:
        trace_id: the trace.
        index: number of the sentence within the trace, from 0; the prompt has none.
        start: first position in `Trace.ids`.
        end: one past the last position.
        text: the sentence, decoded.
        label: sentence state (docs/method.md).
        labeller: `exact`, `rules` or `judge`.
        truth: what is known exactly (the organism), else empty.
    """

    trace_id: str
    index: int
    start: int
    end: int
    text: str
    label: str
    labeller: str
    truth: dict[str, Any] = field(default_factory=dict)


def read(cls: type[R], path: Path) -> list[R]:
    """All records of a JSON Lines file.

    Raises:
        UserError: naming file and line of a record that is broken, or has a key too many, too few
            or of another type.
    """
    names = {field.name: _plain(str(field.type)) for field in dataclasses.fields(cls)}
    type_by_name = {name: annotation.split("[")[0] for name, annotation in names.items()}
    ids = [name for name, annotation in names.items() if annotation == "list[int]"]
    records = []
    for number, row in enumerate(artifacts.read_jsonl(path), start=1):
        if row.keys() != names.keys():
            difference = sorted(set(row) ^ set(names))
            raise UserError(
                f"{path}, line {number}: expected the keys {sorted(names)}; {difference} differ.",
                "Make the file again, or convert it: docs/artifacts.md has the format.",
            )
        for key, value in row.items():
            if type(value).__name__ != type_by_name[key]:
                raise UserError(
                    f"{path}, line {number}, key `{key}`: expected {names[key]}, "
                    f"found {type(value).__name__} {value!r}."
                )
        for key in ids:
            if not all(type(item) is int for item in row[key]):
                raise UserError(
                    f"{path}, line {number}, key `{key}`: expected token ids (integers) only."
                )
        records.append(cls(**row))
    return records


def write(path: Path, records: Iterable[Problem | Trace | Sentence]) -> None:
    """Writes records as JSON Lines."""
    artifacts.write_jsonl(path, (vars(record) for record in records))


def _plain(annotation: str) -> str:
    return annotation.removeprefix("<class '").removesuffix("'>")
