"""Backtracking events: decisions after which a trace turned, and how stable each of them is.

An event is found twice: by keyword, as a study of natural text would find it (the rules of
`labels`, on the sentence after the decision), and exactly, where the domain can tell. Its stability
is the share of continuations from the same prefix that backtrack (arXiv 2604.02113 finds that 93 %
of 541 keyword events do not come back).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped

from backtracking.labels.rules import RULES, label_by_rules
from backtracking.labels.segmentation import is_wordless, segment
from backtracking.labels.turns import is_turn
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.events import Event
from backtracking.records.spans import Ordinal
from backtracking.records.tokens import Turning
from backtracking.records.traces import Trace

TURN = "backtracking"
"""State of a sentence that turns."""

ANYWHERE = Ordinal(1, 3)
"""Of a sentence of which nobody says where it stands: in the middle."""

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class Turn:
    """What follows a decision.

    Attributes:
        is_keyword: whether the rules call the next sentence backtracking, idle ones included.
        is_backtracking: whether the writer truly goes back.
    """

    is_keyword: bool
    is_backtracking: bool


@dataclass(frozen=True)
class TurnReader:
    """How what follows a decision is read: exactly from ids, or by the words of its first sentence.

    Attributes:
        turning: how it is read exactly; None where only words tell.
        end_ids: ids that end a trace.
        decode: the tokenizer's decoding, which gives no text for special tokens.
        labeller: by whose words, where only words tell.
    """

    turning: Turning | None
    end_ids: tuple[int, ...]
    decode: Decode
    labeller: str = RULES

    def first_sentence(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """The first sentence after a decision, and whether nothing can be added to it."""
        if self.turning is not None:
            return self.turning.first_sentence(ids)
        spans = segment(ids, self.decode, 0)
        # What has no word belongs to the sentence that was decided.
        while spans and is_wordless(self.decode(list(ids[spans[0].start : spans[0].end]))):
            spans = spans[1:]
        ended = any(token in self.end_ids for token in ids)
        first = list(ids[spans[0].start : spans[0].end]) if spans else []
        return first, ended or len(spans) > 1

    def turn_of(self, ids: Sequence[int], place: Ordinal = ANYWHERE) -> Turn | None:
        """What the first sentence after a decision does; None where none follows.

        Args:
            ids: what follows.
            place: of the trace's own sentence there.
        """
        sentence, _ = self.first_sentence(ids)
        if not sentence:
            return None
        text = self.decode(sentence)
        is_keyword = label_by_rules(text) == TURN
        if self.turning is not None:
            return Turn(is_keyword, self.turning.is_turn(sentence))
        return Turn(is_keyword, is_turn(self.labeller, text, place))


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


def event_decisions(decisions: Decisions) -> Decisions:
    """Decisions of the train problems at which something is open, whatever their kind."""
    return decisions.of(split="train").open()


@dataclass(frozen=True)
class Followed:
    """What the sentence after each decision is.

    Attributes:
        is_known: whether there is one, with a label by the rules too.
        state: its state by the primary labeller.
        opens: whether it opens like backtracking by the rules, and is none by that labeller.
    """

    is_known: Bool[np.ndarray, " n"]
    state: Shaped[np.ndarray, " n"]
    opens: Bool[np.ndarray, " n"]

    @property
    def turns(self) -> Bool[np.ndarray, " n"]:
        """Whether it backtracks."""
        return self.state == TURN


def follow(decisions: Decisions, sentences: Sentences, worded: Sentences) -> Followed:
    """What stands after each decision.

    Args:
        decisions: of any traces.
        sentences: all sentences, as the primary labeller labels them.
        worded: all that the rules have labelled, as they do.
    """
    states, by_rules = (
        dict(zip(zip(one.trace_id, one.index.tolist(), strict=True), one.state, strict=True))
        for one in (sentences, worded)
    )
    after = list(zip(decisions.trace_id, (decisions.index + 1).tolist(), strict=True))
    state = np.array([states.get(one, "") for one in after], dtype=object)
    is_worded = np.array([by_rules.get(one) == TURN for one in after], dtype=bool)
    is_known = np.array([one in states and one in by_rules for one in after], dtype=bool)
    return Followed(is_known, state, is_worded & (state != TURN))


def find_events(
    role: str, traces: Sequence[Trace], decisions: Decisions, turns: TurnReader
) -> list[Event]:
    """Every one of the decisions after which the trace turned, in their order.

    Where only words tell, a turn is what the primary labels call one.

    Args:
        role: the model that wrote the traces.
        traces: in the order of traces.jsonl.
        decisions: those that may be events.
        turns: how a turn is read.
    """
    found = []
    for row, at in enumerate(decisions.trace.tolist()):
        trace, end = traces[at], int(decisions.end[row])
        if turns.turning is None:
            is_turn = decisions.action[row] == "turns"
            turn = Turn(is_turn, is_turn)
        else:
            turn = turns.turn_of(trace.ids[end:])
        if turn is not None and (turn.is_keyword or turn.is_backtracking):
            kind = decisions.kind[row]
            where = (trace.trace_id, trace.problem_id, end - 1, kind)
            found.append(Event(role, *where, turn.is_keyword, turn.is_backtracking))
    return found


def weigh(decisions: Decisions, events: Sequence[Event]) -> Weighted:
    """The keyword events among decisions, with their stability as weights.

    Args:
        decisions: those that events were looked for among.
        events: all events of them, as one model goes on from them.
    """
    event_by_id = {event.decision_id: event for event in events}
    found = [event_by_id.get(one) for one in decisions.ids]
    rows = np.array([event is None or event.stability is not None for event in found], dtype=bool)
    kept = [event for event, chosen in zip(found, rows, strict=True) if chosen]
    is_keyword = np.array([event is not None and event.is_keyword for event in kept], dtype=bool)
    weight = np.array(
        [event.stability if event and event.is_keyword else 1.0 for event in kept], dtype=float
    )
    return Weighted(rows, is_keyword, weight)
