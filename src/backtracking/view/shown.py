"""What a page shows of traces: texts, sentences with labellers' words, numbers of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from backtracking.records.sentences import State
from lifeboat.stage.errors import UserError


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
        wider: of each, what its backtracking is where it is a wider thing; empty where none is.
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
    wider: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.token_ends)
        if any(len(one.values) != n for one in self.shades):
            raise ValueError(f"{self.trace_id}: a shade has not a value for each of {n} tokens.")
        if any(len(one.states) != len(self.labellers) for one in self.sentences):
            raise ValueError(f"{self.trace_id}: a sentence has not a word of each labeller.")


class Named(Protocol):
    """What has the name of a trace."""

    @property
    def trace_id(self) -> str:
        """Its name."""
        ...


N = TypeVar("N", bound=Named)


def pick(traces: Sequence[N], trace_id: str, where: str) -> N:
    """The trace of a name, or the one whose name alone begins so.

    Raises:
        UserError: for none, or several, naming some that there are.
    """
    found = [one for one in traces if one.trace_id == trace_id]
    found = found or [one for one in traces if one.trace_id.startswith(trace_id)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(repr(one.trace_id) for one in (found or traces)[:5])
    raise UserError(
        f"Expected the name of one trace of {where}, or how it alone begins; {len(found)} "
        f"begin with {trace_id!r}.",
        f"Name one, such as {there}." if there else "",
    )
