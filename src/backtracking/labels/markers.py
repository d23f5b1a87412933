"""The labeller `rules`: short lists of markers, one list for each family of models.

A marker is what a sentence has to have all of: groups of words (`cues`), an opening (`^but that`),
and with `!` what it may not have. The lists were chosen by code on judges' labels of other traces
than those that anything is scored on (`choosing.choose`), and are data: `data/markers.json`. The
family `field` is what the literature counts, `rules.label_by_rules`, and is chosen on nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.labels.cues import cues_of, openings_of
from backtracking.labels.passages import Passage
from backtracking.labels.rules import RULES, label_by_rules, other_state
from backtracking.records import reader
from backtracking.records.sentences import State
from lifeboat.stage.errors import UserError

FILE = Path(__file__).parent / "data" / "markers.json"
FIELD = "field"
"""The family of markers of the literature."""

ANY = "any"
"""The family of a model that no other names."""

LONGEST_OPENING = 2

MODELS_BY_FAMILY = {
    "deepseek-r1": r"deepseek-?r1|r1-distill|deepseek-reasoner",
    "qwq": r"qwq|qwen-?3",
    "gpt-oss": r"gpt-oss",
}
"""Which names of models belong to a family; the first that fits counts."""

Marker = tuple[str, ...]


@dataclass(frozen=True)
class MarkerSet:
    """The markers of one family.

    Attributes:
        family: its name.
        markers: a sentence backtracks where it has any of them.
        n_sentences, n_backtracking: sentences that they were chosen on, and how many of those
            backtrack by the judges.
        f1: of the markers on these same sentences, which is no score.
    """

    family: str
    markers: tuple[Marker, ...]
    n_sentences: int
    n_backtracking: int
    f1: float


@dataclass(frozen=True)
class MarkedRules:
    """The labeller.

    Attributes:
        sets: markers of every family.
        family: the one for all traces; None chooses by the model that wrote a trace.
    """

    sets: tuple[MarkerSet, ...]
    family: str | None = None
    name: str = RULES

    @classmethod
    def load(cls, family: str | None = None) -> "MarkedRules":
        """The shipped markers.

        Raises:
            UserError: for a family that there is not.
        """
        sets = tuple(reader.read_list(MarkerSet, FILE))
        known = [FIELD, *(one.family for one in sets)]
        if family is not None and family not in known:
            raise UserError(f"{family!r} is no family of markers.", f"Choose of {known}.")
        return cls(sets, family)

    def label(self, passage: Passage) -> Sequence[State]:
        """Backtracking where a marker is, and else what the other rules say."""
        family = self.family or family_of(passage.model)
        if family == FIELD:
            return [label_by_rules(text) for text in passage.texts]
        markers = next(one.markers for one in self.sets if one.family == family)
        return [
            "backtracking" if is_marked(text, markers) else other_state(text)
            for text in passage.texts
        ]


def family_of(model: str | None) -> str:
    """The family of a model by its name; `any` where none fits."""
    for family, names in MODELS_BY_FAMILY.items():
        if model is not None and re.search(names, model, re.IGNORECASE):
            return family
    return ANY


def is_marked(sentence: str, markers: Sequence[Marker]) -> bool:
    """Whether a sentence has any of some markers."""
    had = seen_in(sentence)
    return any(
        all((part[1:] not in had) if part[0] == "!" else part in had for part in marker)
        for marker in markers
    )


def seen_in(sentence: str) -> frozenset[str]:
    """All that a marker may ask for: cues, and the first words."""
    return cues_of(sentence).union(openings_of(sentence, LONGEST_OPENING))
