"""The organism's words: kinds of decisions, openings, and what is told from ids alone."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from backtracking.domains.lexicon import Asked, Lexicon, Spelled
from backtracking.domains.organism.grammar import (
    ALTERNATIVE,
    BACKTRACKING_OPENERS,
    EOS,
    MARKER,
    MAX_NUMBER,
)
from backtracking.domains.organism.solver import KINDS
from backtracking.records.sentences import Kind, State
from backtracking.records.tokens import Pattern, Turning

_KIND_BY_NAME = {
    "over": Kind("over", "dead", True),
    "exhausted": Kind("exhausted", "dead", True),
    "doomed": Kind("doomed", "dead", False),
    "alive": Kind("alive", "live", False),
    "solved": Kind("solved", "solved", True),
}
ORGANISM_KINDS = tuple(_KIND_BY_NAME[kind] for kind in KINDS)

OPENINGS: dict[State, tuple[str, ...]] = {
    "initializing": ("Numbers", "Target", "Start"),
    "adding-knowledge": ("Goal", "Left", "Wait for"),
    "example-testing": ("Try",),
    "deduction": ("Total", "Compare", "Check"),
    "backtracking": ("No", "Dead", "Undo", "Wait"),
    "uncertainty-estimation": ("Hmm", "Well"),
    "final-answer": ("Found", "Give", "Stop"),
}
TAKEN_BACK_BY = {MARKER: (" for",)}
"""What follows an opener where the sentence is no backtracking: the base's."""

LEGAL = (*BACKTRACKING_OPENERS, ALTERNATIVE, "Hmm", "Well", "Check", "Give", "Stop")
"""First words that the grammar allows where something is decided ("Found" stands after it)."""

LEXICON = Lexicon(
    openers=tuple(Spelled(word, TAKEN_BACK_BY.get(word, ())) for word in BACKTRACKING_OPENERS),
    marker=MARKER,
    alternative=ALTERNATIVE,
    asides=("Check",),
    legal=LEGAL,
    questions=(Asked("report", "Check :", ("over",), ("under",)),),
    openings=OPENINGS,
    ends=(EOS,),
)


def pattern(tokenizer: Tokenizer) -> Pattern:
    """The full stop of a comparison, dead end or not: no oracle."""
    return _pattern(tokenizer, ("Compare",), None, ("with",), None, (".",))


def turning(tokenizer: Tokenizer) -> Turning:
    """Backtracking sentences as the grammar has them."""
    ids = tokenizer.get_vocab()
    numbers, stop = [str(number) for number in range(MAX_NUMBER + 1)], (".",)
    reports = ("over", "under", "equal")
    return Turning(
        stops=frozenset({ids["."]}),
        end_ids=frozenset({ids[EOS]}),
        asides=(_pattern(tokenizer, ("Check",), (":",), reports, stop),),
        openers=frozenset(ids[word] for word in BACKTRACKING_OPENERS),
        turns=(_pattern(tokenizer, ("Dead",), ("end",), stop),),
        idles=(_pattern(tokenizer, (MARKER,), ("for",), numbers, stop),),
    )


def _pattern(tokenizer: Tokenizer, *slots: Sequence[str] | None) -> Pattern:
    """A pattern in words; None is any."""
    ids = tokenizer.get_vocab()
    return Pattern(tuple(frozenset(ids[word] for word in slot) if slot else None for slot in slots))
