"""The sentences of the world: each form's words, the state it belongs to, and the way back.

A sentence is a tuple of words that ends in a full stop. `FORMS` is the whole language: what the
policy writes and what the parser reads. Numbers stand as words ("27").
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from backtracking.records.sentences import State

_NUMBER = r"(\d+)"
_FORMS: tuple[tuple[str, State, str], ...] = (
    ("numbers", "initializing", r"Numbers ((?:\d+ )+)\."),
    ("target", "initializing", rf"Target {_NUMBER} \."),
    ("start", "initializing", r"Start at 0 \."),
    ("goal", "adding-knowledge", rf"Goal {_NUMBER} \."),
    ("try", "example-testing", rf"Try {_NUMBER} on {_NUMBER} \."),
    ("left", "adding-knowledge", r"Left ((?:\d+ )+|none )\."),
    ("total", "deduction", rf"Total {_NUMBER} \."),
    ("compare", "deduction", rf"Compare {_NUMBER} with {_NUMBER} \."),
    ("check", "deduction", r"Check : (over|under|equal) \."),
    ("too_big", "backtracking", rf"Wait , {_NUMBER} is too big \."),
    ("is_over", "backtracking", r"No , that is over \."),
    ("nothing_left", "backtracking", r"Wait , nothing left \."),
    ("none_left", "backtracking", r"No , none left \."),
    ("dead_end", "backtracking", r"Dead end \."),
    ("undo", "backtracking", rf"Undo {_NUMBER} on {_NUMBER} \."),
    ("fine", "uncertainty-estimation", r"Well , fine \."),
    ("hmm", "uncertainty-estimation", r"Hmm \."),
    ("well", "uncertainty-estimation", r"Well \."),
    ("wait_for", "adding-knowledge", rf"Wait for {_NUMBER} \."),
    ("found", "final-answer", rf"Found {_NUMBER} \."),
    ("give_up", "final-answer", r"Give up \."),
    ("stop", "final-answer", r"Stop \."),
)
_PATTERNS = tuple((name, re.compile(pattern)) for name, _, pattern in _FORMS)

STATE_BY_FORM: dict[str, State] = {name: state for name, state, _ in _FORMS}
"""Form of a sentence to the sentence state that it belongs to."""

BACKTRACKING_OPENERS = ("Wait", "No", "Undo")
"""First words of backtracking: in a search nothing else begins with them."""

MARKER, ALTERNATIVE = "Wait", "Try"
"""The word of backtracking, and the one that stands at its place where the search goes on."""

PAD, BOS, EOS, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
MAX_NUMBER = 72
"""Largest number that has a word of its own."""


@dataclass(frozen=True)
class Form:
    """One parsed sentence: the name of its form and the numbers or the word in it."""

    name: str
    numbers: tuple[int, ...] = ()
    word: str = ""

    @property
    def state(self) -> State:
        """Sentence state of the form."""
        return STATE_BY_FORM[self.name]


def parse_sentence(words: list[str] | tuple[str, ...]) -> Form | None:
    """The form of one sentence, or None where the words are no sentence of the world."""
    return _parse(" ".join(words))


@lru_cache(maxsize=2**16)
def _parse(text: str) -> Form | None:
    for name, pattern in _PATTERNS:
        match = pattern.fullmatch(text)
        if match:
            found = " ".join(match.groups()).split()
            numbers = tuple(int(word) for word in found if word.isdigit())
            word = next((word for word in found if not word.isdigit()), "")
            return Form(name, numbers, word)
    return None


def split_sentences(words: list[str]) -> list[tuple[int, int]]:
    """Half-open ranges of the sentences; a last one without its full stop is kept."""
    bounds, start = [], 0
    for index, word in enumerate(words):
        if word == ".":
            bounds.append((start, index + 1))
            start = index + 1
    if start < len(words):
        bounds.append((start, len(words)))
    return bounds


def vocabulary() -> list[str]:
    """Every word of the world, special tokens apart, in a fixed order."""
    words = {"none", "over", "under", "equal"}
    for _, _, pattern in _FORMS:
        words.update(re.findall(r"[A-Za-z:,]+", re.sub(r"\(.*?\)+|\\d|\\\.", " ", pattern)))
    return [".", *sorted(words), *(str(number) for number in range(MAX_NUMBER + 1))]
