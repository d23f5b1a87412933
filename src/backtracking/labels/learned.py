"""The labeller `learned`: a logistic regression on words and place, which is a file of weights.

It was fitted on judges' labels of traces that no human labelled (`fitting.fit`), so that every
human-labelled trace is another trace. Reading it needs no library and runs no code of the file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path

from backtracking.labels.cues import cues_of, openings_of, tokens_of
from backtracking.labels.passages import Passage
from backtracking.labels.rules import label_by_rules, other_state
from backtracking.records import reader
from backtracking.records.sentences import Sentence, State

LEARNED = "learned"
"""The name of this labeller."""

FILE = Path(__file__).parent / "data" / "learned.json"
LONGEST_OPENING = 4
LONG = 60
"""Words from which on a sentence is as long as any."""

_SIGNS = frozenset("0=+*/\\^")


@dataclass(frozen=True)
class Weights:
    """A fitted regression of backtracking.

    Attributes:
        intercept: log-odds of a sentence without features.
        threshold: log-odds from which on a sentence is called backtracking.
        weights: by the names of `features_of`; an unknown feature has none.
        sources: sentences, and backtracking ones, of each source that it was fitted on.
        cross_validated_f1: on the judges' labels of `reasoningflow`, by problem, at the threshold
            that was chosen to be best there.
    """

    intercept: float
    threshold: float
    weights: Mapping[str, float]
    sources: Mapping[str, tuple[int, int]]
    cross_validated_f1: float


@dataclass(frozen=True)
class Learned:
    """The labeller."""

    weights: Weights
    name: str = LEARNED

    @classmethod
    @cache
    def load(cls) -> "Learned":
        """The shipped weights, which are read once."""
        return cls(reader.read_json(Weights, FILE))

    def label(self, passage: Passage) -> Sequence[State]:
        """Backtracking from the threshold on, and else what the other rules say."""
        return [
            "backtracking" if odds >= self.weights.threshold else other_state(text)
            for text, odds in zip(passage.texts, self.log_odds(passage.texts), strict=True)
        ]

    def is_backtracking(self, text: str, number: int, n: int) -> bool:
        """Whether a sentence is, as the one of a number (from 0) in a trace of n."""
        known, features = self.weights.weights, _features(text, number, n)
        odds = sum(known.get(name, 0.0) * one for name, one in features.items())
        return self.weights.intercept + odds >= self.weights.threshold

    def log_odds(self, texts: Sequence[str]) -> list[float]:
        """Log-odds of backtracking, sentence by sentence of one trace."""
        known = self.weights.weights
        return [
            self.weights.intercept + sum(known.get(name, 0.0) * one for name, one in row.items())
            for row in features_of(texts)
        ]


def with_learned(sentences: Sequence[Sentence]) -> list[Sentence]:
    """One trace's sentences with this labeller's states beside those that they have."""
    if not sentences:
        return []
    texts = tuple(one.text for one in sentences)
    states = Learned.load().label(Passage(sentences[0].trace_id, None, texts, None))
    return [
        replace(one, label_by={**one.label_by, LEARNED: state})
        for one, state in zip(sentences, states, strict=True)
    ]


def features_of(texts: Sequence[str]) -> list[dict[str, float]]:
    """What the regression sees of every sentence of a trace; a feature that is absent is 0.

    Groups of words and pairs of them, the first one to four words, the state by the field's
    markers, length, the share of mathematical signs, and the place in the trace.
    """
    return [_features(text, number, len(texts)) for number, text in enumerate(texts)]


def _features(text: str, number: int, n: int) -> dict[str, float]:
    cues = sorted(cues_of(text))
    names = [*cues, *(f"{a} & {b}" for a, b in combinations(cues, 2))]
    names += openings_of(text, LONGEST_OPENING)
    names.append(f"field: {label_by_rules(text)}")
    tokens = tokens_of(text)
    n_words = sum(token[0].isalpha() for token in tokens)
    return {
        **dict.fromkeys(names, 1.0),
        "length": min(n_words, LONG) / LONG,
        "signs": sum(token in _SIGNS for token in tokens) / max(1, len(tokens)),
        "place": number / n,
        "first": float(number == 0),
        "last": float(number == n - 1),
    }
