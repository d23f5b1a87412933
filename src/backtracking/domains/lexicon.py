"""The words of a domain as they are spelled, before any tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tokenizers import Tokenizer

from backtracking.models.tokens import (
    find_token_set,
    following_ids,
    newline_ids,
    path_ids,
    phrase_ids,
    token_ids,
    token_set,
    word_ids,
)
from backtracking.records.sentences import State
from backtracking.records.tokens import (
    Opener,
    Opening,
    Pattern,
    Question,
    Tokens,
    TokenSet,
    Turning,
)


@dataclass(frozen=True)
class Spelled:
    """A word, or a phrase, that opens backtracking.

    Attributes:
        word: as it stands at the start of a sentence.
        taken_back_by: what follows, with its space, where it is no turn after all.
        phrases: where it is no single word, all that it stands for.
    """

    word: str
    taken_back_by: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


FREE_OPENERS = (
    *map(Spelled, ("wait", "hmm", "alternatively", "no", "actually", "hold")),
    Spelled("but wait", phrases=("but wait",)),
    Spelled("let me try", phrases=("let me try",)),
    Spelled("let me check", phrases=("let me check",)),
    Spelled(
        "let me re",
        phrases=tuple(
            f"let me {word}"
            for word in ("recheck", "reconsider", "rethink", "redo", "reread", "reexamine")
        ),
    ),
)
"""What may open backtracking in any text; which of them do is found on dev problems
(`interventions.opening`)."""


@dataclass(frozen=True)
class Asked:
    """A question to a model at a decision.

    Attributes:
        name: of the question.
        suffix: what is appended.
        yes, no: first words of the answers; yes means a dead end.
    """

    name: str
    suffix: str
    yes: tuple[str, ...]
    no: tuple[str, ...]


@dataclass(frozen=True)
class Lexicon:
    """All words of a domain; what it has none for is empty.

    Attributes:
        is_generic: whether it is of no vocabulary, so that words that one lacks are left out.
        openers: words that open backtracking.
        marker: the one of them that stands for all.
        alternative: the word that stands at its place where the search goes on.
        asides: first words of a sentence that may stand between a decision and the action.
        legal: first words of all sentences that may follow a decision; empty where nobody knows.
        questions: what a model can be asked.
        openings: words or phrases that sentences of each state begin with; the longest counts.
        ends: tokens that end a trace.
        neutral: for words that a base never read, one that it reads in their place.
    """

    openers: tuple[Spelled, ...]
    marker: str = ""
    alternative: str = ""
    asides: tuple[str, ...] = ()
    legal: tuple[str, ...] = ()
    questions: tuple[Asked, ...] = ()
    openings: Mapping[State, tuple[str, ...]] = field(default_factory=dict)
    ends: tuple[str, ...] = ()
    neutral: Mapping[str, str] = field(default_factory=dict)
    is_generic: bool = False


def spell(
    lexicon: Lexicon,
    tokenizer: Tokenizer,
    patterns: Sequence[Pattern] = (),
    turning: Turning | None = None,
) -> Tokens:
    """The words in a tokenizer, as tokens.json has them.

    Args:
        lexicon: the domain's.
        tokenizer: of the models under study.
        patterns: the domain's online rule.
        turning: how it reads a continuation exactly.

    Raises:
        UserError: for a word that the vocabulary does not have.
    """

    ends = (tokenizer.token_to_id(word) for word in lexicon.ends)
    one_of = find_token_set if lexicon.is_generic else token_set

    def words(*chosen: str) -> TokenSet | None:
        return one_of(chosen[0], chosen, tokenizer) if chosen and chosen[0] else None

    openers = (
        _free_opener(one, tokenizer) if lexicon.is_generic else _opener(one, words, tokenizer)
        for one in lexicon.openers
    )
    return Tokens(
        openers=tuple(one for one in openers if one is not None),
        marker=words(lexicon.marker),
        alternative=words(lexicon.alternative),
        asides=words(*lexicon.asides),
        legal=words(*lexicon.legal),
        patterns=tuple(patterns),
        questions=tuple(_question(one, tokenizer) for one in lexicon.questions),
        openings=tuple(
            Opening(state, path)
            for state, phrases in lexicon.openings.items()
            for phrase in phrases
            for path in path_ids(phrase, tokenizer)
        ),
        turning=turning,
        end_ids=tuple(sorted({token for token in ends if token is not None})),
        neutral=tuple(
            (token_ids(one, tokenizer)[0], token_ids(other, tokenizer)[0])
            for one, other in lexicon.neutral.items()
        ),
        newlines=newline_ids(tokenizer) if lexicon.is_generic else (),
    )


def _opener(
    one: Spelled, words: Callable[[str], TokenSet | None], tokenizer: Tokenizer
) -> Opener | None:
    """None where the vocabulary lacks it."""
    ids = words(one.word)
    if ids is None:
        return None
    return Opener(ids, tuple(following_ids(one.word, it, tokenizer) for it in one.taken_back_by))


def _free_opener(one: Spelled, tokenizer: Tokenizer) -> Opener | None:
    """In any vocabulary: spellings that are one token by that, all others by all their ids.

    None where it has no spelling.
    """
    paths = phrase_ids(one.phrases, tokenizer)
    ids = None if one.phrases else find_token_set(one.word, (one.word,), tokenizer)
    if ids is not None:
        both = zip(ids.ids, ids.spelled, strict=True)
        whole = {id_: piece for id_, piece in both if piece not in ids.ambiguous}
        ids = TokenSet(one.word, tuple(whole), tuple(whole.values()))
        paths = tuple(path for path in word_ids(one.word, tokenizer) if len(path) > 1)
    if not paths and not (ids and ids.ids):
        return None
    return Opener(ids or TokenSet(one.word, (), ()), phrases=paths)


def _question(asked: Asked, tokenizer: Tokenizer) -> Question:
    return Question(
        asked.name,
        tuple(token_ids(asked.suffix, tokenizer)),
        token_set(asked.yes[0], asked.yes, tokenizer),
        token_set(asked.no[0], asked.no, tokenizer),
    )
