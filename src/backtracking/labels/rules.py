"""Labels that need no model: sentence states by rule, agreement of two labellers, keyword rates.

The rules are the field's markers, read at the start of a sentence, and they err as the field's
keyword metrics do: "Wait for 7." is called backtracking, and "Undo 9 on 19." is not. How often they
err is a result (`agreement`), not something to hide by fitting them to one model's prose.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from backtracking.records.sentences import Sentence, State

RULES = "rules"
"""The name of this labeller."""

DEFAULT_STATE: State = "deduction"
"""State of a sentence in which no marker stands at the start."""

MIN_WORDS = 5
"""Fewest words of a text that has a keyword rate."""

MAX_WORD_SHARE = 0.5
"""Largest share of a text that one word may take before the text counts as degenerate."""


_INTERJECTIONS = "oh|ah|but|and|so|ok|okay|well|yes|therefore|thus|hence|h+m+"
_MARKERS_BY_STATE: dict[State, tuple[str, ...]] = {
    "backtracking": (
        r"wait|actually|alternatively|hold on|on second thought|scratch that|never ?mind",
        r"no(?=\s*[,.!…—–]|\s+-)",
        r"back to|go(?:ing)? back",
        r"let(?: me|'s| us) (?:go back|start over|backtrack|rethink|reconsider)",
        r"let(?: me|'s| us) try (?:again|another|a different|something else)",
        r"i (?:think i )?made (?:a mistake|an error)",
        r"(?:that|this|it)(?:'s| is) (?:wrong|incorrect|a mistake|not (?:right|correct|possible))",
        r"(?:that|this|it) (?:doesn't|does not|won't|can't|cannot) (?:work|be right)",
    ),
    "final-answer": (r"(?:the |my )?final answer|the answer|answer:|found|boxed",),
    "uncertainty-estimation": (
        r"h+m+|maybe|perhaps|(?:i'm |i am )?not (?:\w+ )?(?:sure|certain)",
        r"i(?:'m| am) (?:unsure|stuck|confused)|i (?:guess|wonder)",
    ),
    "example-testing": (
        r"try|trying|suppose|for (?:example|instance)|if (?:we|i) (?:try|take|set)",
        r"let(?: me|'s| us) (?:try|test|check|verify|take)",
    ),
    "adding-knowledge": (
        r"(?:let me |let's |i |we |first,? )?(?:recall|remember)|(?:we|i) know|left|given",
    ),
    "initializing": (
        r"(?:okay|ok|alright|all right),? (?:so|let|the|i|we)|let me|(?:i|we) (?:need|have) to",
        r"start|numbers?|goal|target|the (?:problem|question|goal|task)|first",
    ),
}
_PATTERN_BY_STATE: dict[State, re.Pattern[str]] = {
    state: re.compile(
        rf"\W*(?:(?:{_INTERJECTIONS})\b\W*)*?(?:{'|'.join(markers)})(?!\w)", re.IGNORECASE
    )
    for state, markers in _MARKERS_BY_STATE.items()
}
_WORD = re.compile(r"\w+(?:'\w+)*")
_KEYWORD = re.compile(r"wait|h+m+")


def label_by_rules(sentence: str) -> State:
    """The state of a sentence by its opening words; `deduction` where no marker stands there.

    Markers are whole words ("await" and "waiting" are no "wait"), in any case, after at most some
    interjections ("Oh, but wait"). Where several fit, the first in this order wins: backtracking,
    final-answer, uncertainty-estimation, example-testing, adding-knowledge, initializing. "Hmm" is
    uncertainty here, although the keyword metric counts it together with "wait" (`keyword_rate`).
    """
    return _first_state(sentence, _PATTERN_BY_STATE)


def other_state(sentence: str) -> State:
    """The state of a sentence that another labeller does not call backtracking."""
    others = dict(_PATTERN_BY_STATE)
    del others["backtracking"]
    return _first_state(sentence, others)


def _first_state(sentence: str, patterns: Mapping[State, re.Pattern[str]]) -> State:
    sentence = sentence.replace("’", "'")
    for state, pattern in patterns.items():
        if pattern.match(sentence):
            return state
    return DEFAULT_STATE


def with_rules(sentence: Sentence) -> Sentence:
    """The sentence with the rules' label beside those that it has."""
    return replace(sentence, label_by={**sentence.label_by, RULES: label_by_rules(sentence.text)})


def keyword_rate(text: str) -> float | None:
    """Occurrences of "wait" and "hmm" per 100 words, the literature's keyword metric.

    Whole words in any case. None, a missing value and not a rate of 0, for degenerate text: fewer
    than `MIN_WORDS` words, or one word that makes up more than `MAX_WORD_SHARE` of them.

    Args:
        text: generated text, without the prompt.
    """
    words = _WORD.findall(text.lower().replace("’", "'"))
    if len(words) < MIN_WORDS or max(Counter(words).values()) > MAX_WORD_SHARE * len(words):
        return None
    return 100 * sum(bool(_KEYWORD.fullmatch(word)) for word in words) / len(words)
