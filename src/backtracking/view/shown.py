"""What a page shows of traces: texts, sentences with labellers' words, numbers of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from backtracking.records.sentences import State


@dataclass(frozen=True)
class ShownSentence:
    """One sentence of a text.

    Attributes:
        start, end: half-open range of characters of the text.
        states: what each labeller of the trace calls it, in their order; None where one is silent.
        kind: its true kind, where that is known.
    """

    start: int
    end: int
    states: tuple[State | None, ...]
    kind: str | None = None


@dataclass(frozen=True)
class Shade:
    """A number of every token.

    Attributes:
        name: what it is, with its unit.
        values: of the tokens in order; None where it is not known.
    """

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class ShownTrace:
    """One text of a model.

    Attributes:
        trace_id: its name.
        problem: what it is about, which texts of the same problem share.
        facts: what else is known of it, by name: model, outcome, right answer.
        text: unchanged.
        labellers: who labelled its sentences.
        sentences: in order.
        token_ends: where its tokens end in the text; empty where they are not known.
        shades: numbers of these tokens.
    """

    trace_id: str
    problem: str
    facts: Mapping[str, str]
    text: str
    labellers: tuple[str, ...]
    sentences: tuple[ShownSentence, ...]
    token_ends: Sequence[int] = ()
    shades: tuple[Shade, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.token_ends)
        if any(len(one.values) != n for one in self.shades):
            raise ValueError(f"{self.trace_id}: a shade has not a value for each of {n} tokens.")
        if any(len(one.states) != len(self.labellers) for one in self.sentences):
            raise ValueError(f"{self.trace_id}: a sentence has not a word of each labeller.")
