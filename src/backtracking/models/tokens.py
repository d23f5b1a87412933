"""Words as token ids: all first tokens that a word may begin with in a vocabulary.

A word is read where a model would write it: at the start of a text, after a space, on a new line,
with capitals. Capitals only go up: the lower-case word stands for all three spellings, a
capitalised one for itself and its upper case, since "Left" and "left" may be two words.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer

from backtracking.records.tokens import TokenSet
from lifeboat.stage.errors import UserError

MIN_PIECE = 3
"""Letters of a first token that is not the whole word, at least."""

_BEFORE = ("", " ", "\n")


def token_set(name: str, words: Sequence[str], tokenizer: Tokenizer) -> TokenSet:
    """First tokens of words, each once, in the order of words and spellings.

    Args:
        name: what they are together.
        words: as spelled.
        tokenizer: of the models under study.

    Raises:
        UserError: where the vocabulary has none of them.
    """
    found = find_token_set(name, words, tokenizer)
    if found is None:
        raise UserError(
            f"Expected tokens for the words {list(words)} (`{name}`), found none in a vocabulary "
            f"of {tokenizer.get_vocab_size()}.",
            "Give the lexicon words that the model can write.",
        )
    return found


def find_token_set(name: str, words: Sequence[str], tokenizer: Tokenizer) -> TokenSet | None:
    """As `token_set`; None where the vocabulary has none of the words.

    A spelling that begins with a piece of one or two letters, as "WAIT" may with "W", is left out
    where the word has others: the piece would bring in more other words than this one.
    """
    pieces: dict[int, tuple[str, bool]] = {}
    for word in words:
        found = [first_token(spelling, tokenizer) for spelling in _spellings(word)]
        known = [one for one in found if one is not None]
        telling = [one for one in known if one[2] or len(one[1].strip()) >= MIN_PIECE]
        for token, piece, is_whole in telling or known:
            pieces.setdefault(token, (piece, is_whole))
    if not pieces:
        return None
    ambiguous = tuple(piece for piece, is_whole in pieces.values() if not is_whole)
    return TokenSet(name, tuple(pieces), tuple(piece for piece, _ in pieces.values()), ambiguous)


def first_token(text: str, tokenizer: Tokenizer) -> tuple[int, str, bool] | None:
    """Id and text of the first visible token of a text, and whether it is all that is visible.

    None where the vocabulary cannot spell the text.
    """
    for token in token_ids(text, tokenizer):
        piece = tokenizer.decode([token])
        visible = piece.strip()
        if not visible and not piece:
            return None
        if visible:
            is_spelled = text.strip().startswith(visible)
            return (token, piece, visible == text.strip()) if is_spelled else None
    return None


def token_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a text in the middle of another, without special tokens."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def path_ids(text: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Ids of the phrases that a text begins with, by spelling, white space before it left out.

    Of a single word that is its first token alone; empty where the vocabulary cannot spell it.
    """
    found: dict[tuple[int, ...], None] = {}
    for spelling in _spellings(text):
        first = first_token(spelling, tokenizer)
        if first is None:
            continue
        ids = token_ids(spelling, tokenizer)
        ids = ids[ids.index(first[0]) :]
        is_phrase = len(text.split()) > 1
        if not is_phrase or _bare(tokenizer.decode(ids)) == _bare(spelling):
            found[tuple(ids if is_phrase else ids[:1])] = None
    return tuple(found)


def phrase_ids(phrases: Sequence[str], tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Ids of phrases with and without a capital, of the last word its first token alone.

    Of "let me recheck" that is " re" where the vocabulary has no longer piece; so several phrases
    may be spelled the same, which stands once. A piece of one letter tells nothing.
    """
    found: dict[tuple[int, ...], None] = {}
    for phrase in phrases:
        n_head = len(phrase.rpartition(" ")[0])
        for spelling in _cased(phrase):
            n_before = len(spelling) - len(phrase)
            head = _visible_ids(spelling[: n_before + n_head], tokenizer)
            ids = _visible_ids(spelling, tokenizer)[: len(head) + 1]
            last = _bare(tokenizer.decode(ids[len(head) :]))
            if ids[: len(head)] == head and len(last) > 1 and _spells(ids, spelling, tokenizer):
                found[tuple(ids)] = None
    return tuple(found)


def word_ids(word: str, tokenizer: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """Ids of a word with and without a capital, all of them, by spelling."""
    found: dict[tuple[int, ...], None] = {}
    for spelling in _cased(word):
        ids = _visible_ids(spelling, tokenizer)
        if _bare(tokenizer.decode(ids)) == _bare(spelling):
            found[tuple(ids)] = None
    return tuple(found)


def newline_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of one and of two new lines, where the vocabulary has them as one token."""
    spelled = (token_ids(text, tokenizer) for text in ("\n", "\n\n"))
    found = (ids[0] for ids in spelled if len(ids) == 1)
    return tuple(id_ for id_ in found if "\n" in tokenizer.decode([id_]))


def following_ids(before: str, text: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of a text that follows another.

    Raises:
        UserError: where the tokenizer makes one token of the end of the one and the other.
    """
    first, both = token_ids(before, tokenizer), token_ids(before + text, tokenizer)
    if both[: len(first)] != first or len(both) == len(first):
        raise UserError(
            f"Expected {text!r} to begin a token after {before!r}, and it does not.",
            "Spell it in the lexicon as it stands there, with its space.",
        )
    return tuple(both[len(first) :])


def _visible_ids(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of a text without white space before it."""
    return [one for one in token_ids(text, tokenizer) if tokenizer.decode([one]).strip()]


def _spells(ids: Sequence[int], text: str, tokenizer: Tokenizer) -> bool:
    return _bare(text).startswith(_bare(tokenizer.decode(list(ids))))


def _cased(text: str) -> list[str]:
    """A text in lower case and with a capital, as it may stand."""
    return [before + one for one in (text, text.capitalize()) for before in _BEFORE]


def _bare(text: str) -> str:
    return "".join(text.split())


def _spellings(word: str) -> list[str]:
    capitals = dict.fromkeys((word, word[:1].upper() + word[1:], word.upper()))
    return [before + one for one in capitals for before in _BEFORE]
