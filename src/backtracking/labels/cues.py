"""What the words of a sentence say, in groups that mean one thing: what markers and weights know.

The groups were written by reading the human-labelled traces that are not held back
(`schemes.is_held_back`); which of them tell a backtracking sentence was then chosen on judges'
labels of other traces (`choosing`, `fitting`).
"""

import re
from functools import cache

_WORDS_BY_CUE = {
    "another-way": (
        r"\balternativ|\banother (?:way|approach|method|idea|thought|angle|possibility|option)"
        r"|differently|different (?:approach|way|method|angle)|other (?:way|approach|method)"
        r"|\binstead\b|better (?:way|approach|to)|smarter|simpler (?:way|approach)"
    ),
    "perhaps": r"\b(?:maybe|perhaps|might|could|possibly)\b",
    "plan": (
        r"\b(?:consider|try|use|using|think|approach|express|show|look|start|go back|re-?\w+)\b"
    ),
    "wrong": (
        r"mistake|wrong|incorrect|error|flawed|contradict|something off|inconsisten|discrepan"
        r"|not (?:right|correct|true|helpful|possible|valid|enough|sufficient)|not work|conflict"
        r"|doesn't (?:make sense|work|help|seem|fit|match|necessarily|directly)|missed|fails"
        r"|does not (?:work|help|match|hold)|can't be|cannot be|overcomplicat|confus|messy"
        r"|complicated|too (?:\w+ )?(?:complex|complicated|tedious)"
    ),
    "verify": r"double.check|verify|check|make sure|confirm|sanity",
    "restate": r"the (?:problem|question) (?:says|states|asks|mentions|specif|is asking|also)",
    "recall": r"\b(?:recall|remember|know that|formula)\b",
    "wait": r"\bwait\b|hold on",
    "unsure": r"not (?:\w+ )?(?:sure|certain|confident)|\bunsure\b|\bi wonder\b|\bconfident\b",
    "cannot": r"\bcan(?:'t|not)\b|\bwithout\b|unable|impossible",
    "anew": (
        r"re-?(?:derive|do|start|think|consider|examine|compute|calculate|read|visit)|start over"
    ),
    "no": r"^\W*(?:wait\W+)?no\b",
    "but": r"^\W*(?:but|however)\b",
    "actually": r"\bactually\b",
    "hmm": r"\bh+m+\b",
    "not": r"\bnot\b|n't\b",
    "thought": (
        r"\b(?:i|we) (?:thought|assumed|used|made|forgot|misread|overlooked)|earlier|initially"
        r"|\bmy (?:initial|previous|earlier|assumption|approach|mistake)|previous"
    ),
    "need": r"\b(?:i|we) (?:need|should|have) to\b|\bi should\b",
    "let": r"\blet(?:'s| me| us)\b",
    "equation": r"[=≈]",
    "question": r"\?",
}
_PATTERN_BY_CUE = {cue: re.compile(words, re.IGNORECASE) for cue, words in _WORDS_BY_CUE.items()}
_TOKEN = re.compile(r"\\[a-z]+|[a-z]+(?:'[a-z]+)?|\d+|[^\w\s]")

CUES = tuple(_WORDS_BY_CUE)
"""Names of all groups."""


@cache
def _shown(token: str) -> str:
    if token.isdigit():
        return "0"
    return "\\" if token[0] == "\\" else token


def tokens_of(sentence: str) -> list[str]:
    """Words and signs in lower case; every number is `0`, every LaTeX command a backslash."""
    lower = sentence.lower().replace("’", "'")
    return [_shown(token) for token in _TOKEN.findall(lower)]


def cues_of(sentence: str) -> frozenset[str]:
    """The groups of which a sentence has a word."""
    plain = sentence.replace("’", "'")
    return frozenset(cue for cue, pattern in _PATTERN_BY_CUE.items() if pattern.search(plain))


def openings_of(sentence: str, longest: int) -> list[str]:
    """The first word of a sentence, its first two, and so on up to `longest`; punctuation counts.

    They are marked by `^`.
    """
    first = tokens_of(sentence[: 40 * longest])[:longest]
    return ["^" + " ".join(first[:n]) for n in range(1, len(first) + 1)]
