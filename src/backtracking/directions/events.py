"""Backtracking events: decisions after which a trace turned, and how stable each of them is.

An event is found twice: by keyword, as a study of natural text would find it (the rules of
`labels`, on the sentence after the decision), and exactly, by the grammar. Its stability is the
share of continuations from the same prefix that backtrack (arXiv 2604.02113 finds that 93 % of 541
keyword events do not come back).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from backtracking.domains.organism.grammar import (
    BACKTRACKING_OPENERS,
    parse_sentence,
    split_sentences,
)
from backtracking.domains.organism.tokenizer import EOS
from backtracking.labels.rules import label_by_rules
from backtracking.records.moments import Moments, is_decision
from backtracking.records.traces import Trace
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Turn:
    """What follows a decision.

    Attributes:
        is_keyword: whether the rules call the next sentence backtracking, "Wait, fine." included.
        is_backtracking: whether the writer truly goes back.
    """

    is_keyword: bool
    is_backtracking: bool


@dataclass(frozen=True)
class Event:
    """A decision after which the trace turned, by keyword or truly.

    Attributes:
        trace_id: the trace.
        problem_id: its problem.
        position: of the deciding token in `Trace.ids`.
        kind: true kind of the search position.
        is_keyword, is_backtracking: what the trace itself did, as in `Turn`.
        n: continuations from the prefix that ends with the deciding token; 0 where the model has
            no room for one.
        n_keyword, n_backtracking: how many of them turned.
        role: the model that wrote the continuations; the trace is the reasoning model's.
    """

    trace_id: str
    problem_id: str
    position: int
    kind: str
    is_keyword: bool
    is_backtracking: bool
    n: int = 0
    n_keyword: int = 0
    n_backtracking: int = 0
    role: str = "reasoning"

    @property
    def stability(self) -> float | None:
        """Share of the continuations that backtrack; None without any."""
        return self.n_backtracking / self.n if self.n else None


@dataclass(frozen=True)
class Weighted:
    """Which decisions are a keyword event, and what each weighs.

    Attributes:
        rows: decisions that are compared: those without an event, and events with a stability.
        is_keyword: of these, the ones with a keyword event.
        weight: stability of a keyword event, and 1 elsewhere.
    """

    rows: Bool[np.ndarray, " n"]
    is_keyword: Bool[np.ndarray, " rows"]
    weight: Float[np.ndarray, " rows"]


def first_sentence(words: Sequence[str]) -> tuple[list[str], bool]:
    """The first sentence after a decision, checks skipped, and whether nothing can be added to it.

    It is whole with its full stop, or where the trace has ended.
    """
    for start, end in split_sentences(list(words)):
        sentence = list(words[start:end])
        whole = sentence[-1] in (".", EOS)
        form = parse_sentence(sentence)
        if not (whole and form is not None and form.name == "check"):
            return sentence, whole
    return [], False


def turn_of(words: Sequence[str]) -> Turn | None:
    """What the first sentence after a decision does, checks skipped; None where none follows."""
    sentence, _ = first_sentence(words)
    if not sentence:
        return None
    form = parse_sentence(sentence)
    opens = sentence[0] in BACKTRACKING_OPENERS
    goes_back = form.state == "backtracking" if form else opens
    return Turn(label_by_rules(" ".join(sentence)) == "backtracking", goes_back)


def find_events(
    traces: Sequence[Trace], moments: Moments, word_by_id: Mapping[int, str], split: str
) -> list[Event]:
    """Every decision of a split after which the trace turned, in the order of the sentences."""
    chosen = is_decision(moments) & (moments.split == split)
    chosen &= ~np.isin(moments.kind, ("", "solved"))
    found = []
    for row in np.flatnonzero(chosen).tolist():
        trace, end = traces[moments.trace[row]], int(moments.end[row])
        turn = turn_of([word_by_id[token] for token in trace.ids[end:]])
        if turn is not None and (turn.is_keyword or turn.is_backtracking):
            found.append(
                Event(
                    trace.trace_id,
                    trace.problem_id,
                    end - 1,
                    str(moments.kind[row]),
                    turn.is_keyword,
                    turn.is_backtracking,
                )
            )
    return found


def weigh(decisions: Moments, trace_ids: Sequence[str], events: Sequence[Event]) -> Weighted:
    """The keyword events among decisions, with their stability as weights.

    Args:
        decisions: comparisons of the split that the events are of.
        trace_ids: name of each trace, by its row.
        events: all events of the split.
    """
    event_by_place = {(event.trace_id, event.position): event for event in events}
    places = zip(decisions.trace.tolist(), decisions.end.tolist(), strict=True)
    found = [event_by_place.get((trace_ids[int(row)], int(end) - 1)) for row, end in places]
    rows = np.array([event is None or event.stability is not None for event in found], dtype=bool)
    kept = [event for event, chosen in zip(found, rows, strict=True) if chosen]
    is_keyword = np.array([event is not None and event.is_keyword for event in kept], dtype=bool)
    weight = np.array(
        [event.stability if event and event.is_keyword else 1.0 for event in kept], dtype=float
    )
    return Weighted(rows, is_keyword, weight)


def write_events(path: Path, events: Sequence[Event]) -> None:
    """Writes events as JSON Lines, each with its stability."""
    artifacts.write_jsonl(
        path, (asdict(event) | {"stability": event.stability} for event in events)
    )


def read_events(path: Path) -> list[Event]:
    """All events of a file.

    Raises:
        UserError: for a record with other keys.
    """
    return [_event(row, f"{path}, line {n}") for n, row in enumerate(artifacts.read_jsonl(path), 1)]


def _event(row: dict[str, Any], where: str) -> Event:
    expected = {field.name for field in fields(Event)}
    if set(row) != expected | {"stability"}:
        differ = sorted(set(row) ^ (expected | {"stability"}))
        raise UserError(f"{where}: these keys differ from an event's: {differ}.")
    return Event(**{name: row[name] for name in expected})
