"""Labels that need no model: sentence states by rule, agreement of two labellers, keyword rates.

The rules are the field's markers, read at the start of a sentence, and they err as the field's
keyword metrics do: "Wait, fine." is called backtracking, and so is "Wait for 7.". How often they
err is a result (`agreement`), not something to hide by fitting them to one model's prose.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from backtracking.organism.grammar import STATES

DEFAULT_STATE = "deduction"
"""State of a sentence in which no marker stands at the start."""

MIN_WORDS = 5
"""Fewest words of a text that has a keyword rate."""

MAX_WORD_SHARE = 0.5
"""Largest share of a text that one word may take before the text counts as degenerate."""

AGREEMENT_MEASURES = ("kappa", "kappa_positive", "f1")
"""Columns of `agreement_measures`."""

_INTERJECTIONS = "oh|ah|but|and|so|ok|okay|well|yes|therefore|thus|hence|h+m+"
_MARKERS_BY_STATE: dict[str, tuple[str, ...]] = {
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
_PATTERN_BY_STATE = {
    state: re.compile(
        rf"\W*(?:(?:{_INTERJECTIONS})\b\W*)*?(?:{'|'.join(markers)})(?!\w)", re.IGNORECASE
    )
    for state, markers in _MARKERS_BY_STATE.items()
}
_WORD = re.compile(r"\w+(?:'\w+)*")
_KEYWORD = re.compile(r"wait|h+m+")


@dataclass(frozen=True)
class Agreement:
    """How far two labellers agree on the same sentences; None where a number is undefined.

    Attributes:
        n: number of sentences.
        kappa: Cohen's kappa over all states; undefined where both use one and the same state only.
        kappa_positive: the same for the positive state against all others.
        f1: F1 of the positive state, the first labeller taken as true; undefined where neither
            labeller uses it.
    """

    n: int
    kappa: float | None
    kappa_positive: float | None
    f1: float | None


def label_by_rules(sentence: str) -> str:
    """The state of a sentence by its opening words; `deduction` where no marker stands there.

    Markers are whole words ("await" and "waiting" are no "wait"), in any case, after at most some
    interjections ("Oh, but wait"). Where several fit, the first in this order wins: backtracking,
    final-answer, uncertainty-estimation, example-testing, adding-knowledge, initializing. "Hmm" is
    uncertainty here, although the keyword metric counts it together with "wait" (`keyword_rate`).
    """
    sentence = sentence.replace("’", "'")
    for state, pattern in _PATTERN_BY_STATE.items():
        if pattern.match(sentence):
            return state
    return DEFAULT_STATE


def agreement(
    first: Sequence[str], second: Sequence[str], positive: str = "backtracking"
) -> Agreement:
    """Agreement of two labellers, sentence by sentence.

    Args:
        first: labels taken as true for F1.
        second: labels of the other labeller, in the same order.
        positive: the state of the binary measures.

    Raises:
        ValueError: where the two do not label the same sentences, or a label is no state.
    """
    measures = agreement_measures(confusion(first, second).sum(axis=0, keepdims=True), positive)
    known = [None if np.isnan(measure) else float(measure) for measure in measures[0]]
    return Agreement(len(first), *known)


def confusion(first: Sequence[str], second: Sequence[str]) -> Float[np.ndarray, "rows cells"]:
    """One row per sentence with a single 1 in the cell (first label, second label) of `STATES`.

    Sums or means over rows are what `agreement_measures` reads, so agreement has intervals by
    `statistics.Bootstrap.intervals(confusion(...), problem_ids, agreement_measures)`.

    Raises:
        ValueError: where the two do not label the same sentences, or a label is no state.
    """
    if len(first) != len(second):
        raise ValueError(
            f"Expected two labels for every sentence, found {len(first)} and {len(second)} labels."
        )
    unknown = sorted(set(first).union(second) - set(STATES))
    if unknown:
        raise ValueError(f"Expected sentence states, found {unknown}; the states are {STATES}.")
    code_by_state = {state: code for code, state in enumerate(STATES)}
    cells = np.zeros((len(first), len(STATES) ** 2))
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        cells[row, code_by_state[a] * len(STATES) + code_by_state[b]] = 1
    return cells


def agreement_measures(
    cells: Float[np.ndarray, "n cells"], positive: str = "backtracking"
) -> Float[np.ndarray, "n 3"]:
    """Kappa, kappa of the positive state and its F1, for each of n confusion tables; NaN undefined.

    Args:
        cells: counts or shares, one confusion table a row, as `confusion` orders them.
        positive: the state of the binary measures.
    """
    tables = cells.reshape(-1, len(STATES), len(STATES))
    code = STATES.index(positive)
    hits = tables[:, code, code]
    first, second = tables[:, code].sum(axis=1), tables[:, :, code].sum(axis=1)
    rest = tables.sum(axis=(1, 2)) - first - second + hits
    binary = np.stack([hits, first - hits, second - hits, rest], axis=1).reshape(-1, 2, 2)
    used = first + second
    f1 = np.divide(2 * hits, used, out=np.full_like(used, np.nan), where=used > 0)
    return np.stack([_cohen_kappa(tables), _cohen_kappa(binary), f1], axis=1)


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


def _cohen_kappa(tables: Float[np.ndarray, "n labels labels"]) -> Float[np.ndarray, " n"]:
    n = tables.sum(axis=(1, 2))
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    room = n**2 - by_chance
    excess = n * np.trace(tables, axis1=1, axis2=2) - by_chance
    return np.divide(excess, room, out=np.full_like(room, np.nan), where=room > 1e-12 * n**2)
