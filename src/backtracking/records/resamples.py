"""What a model wrote when it went on again from a prefix of its own trace: next sentences."""

import json
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader
from backtracking.records.imported import lines_of
from lifeboat.stage.errors import UserError

_CURE = "A line has `trace_id`, `index`, `n` and `next_sentences`, pairs of a text and its count."


@dataclass(frozen=True)
class NextSentence:
    """A sentence, and how often it was written.

    Attributes:
        text: the sentence.
        count: continuations that begin with it.
    """

    text: str
    count: int


@dataclass(frozen=True)
class Resampled:
    """The continuations from the prefix before one sentence of a trace.

    Attributes:
        trace_id, index: the sentence that stands there in the trace.
        n: continuations.
        next_sentences: how they begin, each different sentence once.
    """

    trace_id: str
    index: int
    n: int
    next_sentences: tuple[NextSentence, ...]

    def __post_init__(self) -> None:
        if sum(one.count for one in self.next_sentences) != self.n:
            raise ValueError(f"the sentences of {self.trace_id}, {self.index} are not {self.n}")


def read_resamples(path: Path) -> list[Resampled]:
    """All positions of a file, plain or in gzip.

    Raises:
        UserError: where the file is missing; naming the line of what is broken.
    """
    return [
        _position(line, f"{path}, line {number}")
        for number, line in enumerate(lines_of(path), start=1)
    ]


def _position(line: str, where: str) -> Resampled:
    try:
        row = json.loads(line)
        pairs = [{"text": text, "count": count} for text, count in row["next_sentences"]]
        return reader.decode(Resampled, {**row, "next_sentences": pairs}, where, _CURE)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where} cannot be read ({error!r}).", _CURE) from None
