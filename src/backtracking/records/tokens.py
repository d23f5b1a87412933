"""The words of a study as token ids: made once by `label`, read by every stage that runs a model.

So no stage knows a word. What the domain has no words for is None or empty, and what rests on it is
not tested.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader
from backtracking.records.decoding import may_be_absent
from backtracking.records.sentences import State

TokenPath = tuple[int, ...]
"""Ids that follow a position."""

_CURE = "Label the traces again: `dvc --wait-for-lock repro label`."


@dataclass(frozen=True)
class TokenSet:
    """The first tokens of a word, in all its spellings.

    Attributes:
        name: the word.
        ids: first token of every spelling that the vocabulary has, each once.
        spelled: the text of each of these tokens.
        ambiguous: those of them that other words may begin with too, as "Altern" does.
    """

    name: str
    ids: tuple[int, ...]
    spelled: tuple[str, ...]
    ambiguous: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opener:
    """A word, or a phrase, that opens backtracking.

    P(turn) = sum over openers of p(opener) (1 - p(taken back)), where p(taken back) is the sum over
    `taken_back_by` of the probability of the whole path after the opener.

    Attributes:
        ids: its first tokens; none of a phrase, whose first word opens anything.
        taken_back_by: what follows where it is no turn after all: "Wait" before " for".
        phrases: of a phrase such as "but wait", its ids in every spelling.
    """

    ids: TokenSet
    taken_back_by: tuple[TokenPath, ...] = ()
    phrases: tuple[TokenPath, ...] = may_be_absent(())

    @property
    def paths(self) -> tuple[TokenPath, ...]:
        """All ids that it may stand as."""
        return (*((id_,) for id_ in self.ids.ids), *self.phrases)


@dataclass(frozen=True)
class Pattern:
    """The last, or the first, ids of a text.

    Attributes:
        slots: the ids that each place may have; None is any id.
    """

    slots: tuple[frozenset[int] | None, ...]

    def matches(self, ids: Sequence[int]) -> bool:
        """Whether ids end with the pattern: the online rule of where something is decided."""
        return len(ids) >= len(self.slots) and self._fits(ids[len(ids) - len(self.slots) :])

    def is_all(self, ids: Sequence[int]) -> bool:
        """Whether ids are the pattern, from the first to the last."""
        return len(ids) == len(self.slots) and self._fits(ids)

    def _fits(self, ids: Sequence[int]) -> bool:
        return all(
            slot is None or token in slot for slot, token in zip(self.slots, ids, strict=True)
        )


@dataclass(frozen=True)
class Question:
    """What a model is asked at a decision, by a suffix and two answers.

    Attributes:
        name: of the question.
        suffix_ids: what is appended.
        yes: answers that mean a dead end.
        no: answers that mean that the search goes on.
    """

    name: str
    suffix_ids: tuple[int, ...]
    yes: TokenSet
    no: TokenSet


@dataclass(frozen=True)
class Opening:
    """How a sentence of a state may begin; of several that fit, the longest counts.

    Attributes:
        state: of the sentence.
        path: its first ids.
    """

    state: State
    path: tuple[int, ...]


@dataclass(frozen=True)
class Turning:
    """How what follows a decision is read exactly, from ids, where the domain's sentences are few.

    Attributes:
        stops: ids that end a sentence.
        end_ids: ids that end a trace.
        asides: whole sentences between a decision and the action, which are skipped.
        openers: first ids of a sentence that turns, unless it is one of `idles`.
        turns: whole sentences that turn, whatever they begin with.
        idles: whole sentences that begin with an opener and do not turn.
    """

    stops: frozenset[int]
    end_ids: frozenset[int]
    asides: tuple[Pattern, ...]
    openers: frozenset[int]
    turns: tuple[Pattern, ...]
    idles: tuple[Pattern, ...]

    def first_sentence(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """The first sentence after a decision, asides skipped, and whether it is whole.

        It is with its stop, or where the trace has ended. Empty where none has begun.
        """
        first = 0
        for at, token in enumerate(ids, start=1):
            if token not in self.stops and at < len(ids):
                continue
            sentence = list(ids[first:at])
            whole = token in self.stops or token in self.end_ids
            if not (whole and any(aside.is_all(sentence) for aside in self.asides)):
                return sentence, whole
            first = at
        return [], False

    def is_turn(self, sentence: Sequence[int]) -> bool:
        """Whether a sentence that is not empty goes back."""
        if any(pattern.is_all(sentence) for pattern in self.turns):
            return True
        idle = any(pattern.is_all(sentence) for pattern in self.idles)
        return sentence[0] in self.openers and not idle


@dataclass(frozen=True)
class Tokens:
    """All words of a study in one tokenizer.

    Attributes:
        openers: words that open backtracking.
        marker: the one of them whose probability and row of the unembedding stand for all.
        alternative: the word that stands at its place where the search goes on.
        asides: first words of a sentence that may stand between a decision and the action.
        legal: first words of all sentences that may follow a decision; None where nobody knows.
        patterns: ids at whose end something is decided, any of them.
        questions: what a model can be asked at a decision.
        openings: how the sentences of each state begin.
        turning: how a continuation is read exactly; None where only words tell.
        end_ids: ids that end a trace.
        neutral: for ids that a base never read, the id that it reads in their place.
        newlines: ids of new lines that may stand between a decision and an opener.
    """

    openers: tuple[Opener, ...]
    marker: TokenSet | None
    alternative: TokenSet | None
    asides: TokenSet | None
    legal: TokenSet | None
    patterns: tuple[Pattern, ...]
    questions: tuple[Question, ...]
    openings: tuple[Opening, ...]
    turning: Turning | None
    end_ids: tuple[int, ...]
    neutral: tuple[tuple[int, int], ...]
    newlines: tuple[int, ...] = may_be_absent(())

    def __post_init__(self) -> None:
        if len(dict(self.neutral)) < len(self.neutral):
            raise ValueError("`neutral` must name one id for each id.")

    @property
    def opener_ids(self) -> list[int]:
        """First ids of all openers that are words, each once, in their order."""
        return list(dict.fromkeys(id_ for opener in self.openers for id_ in opener.ids.ids))

    def decides(self, ids: Sequence[int]) -> bool:
        """Whether something is decided at the last of the ids, told from these alone."""
        return any(pattern.matches(ids) for pattern in self.patterns)

    def question(self, name: str) -> Question | None:
        """A question by its name; None where the domain has none."""
        return next((one for one in self.questions if one.name == name), None)

    def neutralized(self, ids: Sequence[int]) -> list[int]:
        """The ids with each that a base never read replaced, so that positions stay."""
        swaps = dict(self.neutral)
        return [swaps.get(token, token) for token in ids]


def write_tokens(path: Path, tokens: Tokens) -> None:
    """Writes the words as JSON."""
    reader.write_json(path, tokens)


def read_tokens(path: Path) -> Tokens:
    """The words of tokens.json.

    Raises:
        UserError: for another file, with its key.
    """
    return reader.read_json(Tokens, path, _CURE)
