"""What `label` writes of traces: sentences, what is known of them, and decisions, one a line."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from backtracking.records import reader
from backtracking.records.decoding import may_be_absent

State = Literal[
    "initializing",
    "deduction",
    "adding-knowledge",
    "example-testing",
    "uncertainty-estimation",
    "backtracking",
    "final-answer",
    "unparsed",
]
"""What a sentence does; `unparsed` is none of the domain's sentences."""

Action = Literal["turns", "idles", "goes on"]
"""What a trace does after a decision; to idle is to open like a turn and go on all the same."""

Matching = Literal["event", "neutral"]
"""A decision after which the trace turned, and the one that is matched with it."""

Standing = Literal["dead", "live", "solved", "unknown"]

EXACT = "exact"
"""The labeller that is the domain itself, whose sentences also know what was done (`Truth`)."""

CURE = "Label the traces again: `dvc --wait-for-lock repro label`."
"""What to do about sentences or decisions that do not belong to the traces."""


class Kind(NamedTuple):
    """A kind of decision point.

    Attributes:
        name: as the domain calls it.
        standing: whether the search stands at a dead end there, is still live, or is solved;
            `unknown` where the kind does not tell.
        visible: whether a reader of the trace can tell; a hidden dead end takes the whole search.
    """

    name: str
    standing: Standing
    visible: bool


@dataclass(frozen=True)
class Kinds:
    """The kinds of decision points of a study, in the domain's order; empty where none is known."""

    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class Truth:
    """What is known of a sentence; every field may be unknown on its own.

    Attributes:
        form: which of the domain's forms the sentence has.
        kind: kind of the point in the search after the sentence.
        value: value reached there (a running total, the value of an attempt), as it truly is.
        written: the same as the sentence has it; None where it says nothing of it.
        target: value to be reached.
        valid: whether the sentence is right given what the trace says before it; None where there
            is nothing to check.
        check: what of it could be wrong.
        action: what the trace did after it, if it decides; None where the trace ends first.
        search_state: equal texts are one state of the search; where something is decided.
        history: equal texts are one way to get there.
    """

    form: str | None = None
    kind: str | None = None
    value: float | None = None
    written: float | None = None
    target: float | None = None
    valid: bool | None = None
    check: str | None = None
    action: Action | None = None
    search_state: str | None = None
    history: str | None = None


@dataclass(frozen=True)
class Sentence:
    """One sentence of a trace, as a token range.

    Attributes:
        trace_id: the trace.
        index: number of the sentence within the trace, from 0; the prompt has none.
        start: first position in `Trace.ids`.
        end: one past the last position.
        text: the sentence, decoded.
        decides: whether the next action is decided at its last token.
        label_by: its state by every labeller that was asked.
        truth: what is known of it; None where the domain knows nothing.
    """

    trace_id: str
    index: int
    start: int
    end: int
    text: str
    decides: bool
    label_by: Mapping[str, State]
    truth: Truth | None = None


@dataclass(frozen=True)
class Decision:
    """A point at which the next action is decided.

    Attributes:
        trace_id, problem_id, split: where it is.
        index: number of the sentence that ends here.
        start: its first position.
        position: the deciding token, the last before the next sentence's first visible one.
        state: the sentence's state by the primary labeller.
        action: what the trace then did; None where it ends here.
        truth: as of the sentence.
        event: which of a matched pair it is; None where it is of none, or none are made.
    """

    trace_id: str
    problem_id: str
    split: str
    index: int
    start: int
    position: int
    state: State
    action: Action | None
    truth: Truth | None
    event: Matching | None = may_be_absent()

    @property
    def decision_id(self) -> str:
        """`<trace_id>@<position>`, the name of the decision in every record."""
        return f"{self.trace_id}@{self.position}"


def write_sentences(path: Path, sentences: Iterable[Sentence]) -> None:
    """Writes sentences as JSON Lines."""
    reader.write_lines(path, sentences)


def read_sentences(path: Path) -> list[Sentence]:
    """All sentences of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Sentence, path, CURE)


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Writes decisions as JSON Lines."""
    reader.write_lines(path, decisions)


def read_decisions(path: Path) -> list[Decision]:
    """All decisions of a file.

    Raises:
        UserError: for a broken record, with file, line and key.
    """
    return reader.read_lines(Decision, path, CURE)


def write_kinds(path: Path, kinds: Sequence[Kind]) -> None:
    """Writes the domain's kinds as JSON."""
    reader.write_json(path, Kinds(tuple(kinds)))


def read_kinds(path: Path) -> tuple[Kind, ...]:
    """The domain's kinds.

    Raises:
        UserError: for another file.
    """
    return reader.read_json(Kinds, path, CURE).kinds
