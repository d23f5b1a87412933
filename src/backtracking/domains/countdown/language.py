r"""The sentences of written searches: one list of forms, which are filled and read.

Turning has three dialects, each with words of its own, and the idle remark has another word, so
that no word is the state of the search.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from string import Formatter

from backtracking.domains.lexicon import Asked, Lexicon, Spelled
from backtracking.records.sentences import State

FORMS: dict[str, tuple[str, ...]] = {
    "intro": ("I need some of {numbers} that add up to {t}.",),
    "start": ("Let me start with {n}.", "First I take {n}.", "Suppose I use {n} first."),
    "step": (
        "Adding {n} gives {v} + {n} = {r}.",
        "Next, {v} + {n} = {r}.",
        "With {n} it is {v} + {n} = {r}.",
    ),
    "again": ("So it stays at {v} + {n} = {r}.",),
    "idle": ("Well, let me see.",),
    "over": (
        "Wait, {r} is more than {t}, so that is too big.",
        "Hmm, {r} is past {t} already.",
        "No, that overshoots, since {r} is above {t}.",
    ),
    "short": (
        "Wait, nothing is left to add, and {r} is less than {t}.",
        "Hmm, {r} falls short of {t} with all numbers used.",
        "No, {r} is still below {t}, and no number is left.",
    ),
    "back": ("Let me go back to {v}.", "I will return to {v}.", "Back to {v}, then."),
    "restart": ("Let me begin again.", "I will begin anew.", "Back to the beginning, then."),
    "found": ("That is {t}, so the answer is \\boxed{{{sum}}}.",),
    "stuck": ("That is all I can do.",),
}
"""What sentences of each form look like; of the forms that turn, one for each dialect."""

N_DIALECTS = 3

STATE_BY_FORM: dict[str, State] = {
    "intro": "initializing",
    "start": "example-testing",
    "step": "deduction",
    "again": "deduction",
    "idle": "uncertainty-estimation",
    "over": "backtracking",
    "short": "backtracking",
    "back": "backtracking",
    "restart": "backtracking",
    "found": "final-answer",
    "stuck": "final-answer",
}

OPENERS = ("Wait", "Hmm", "No")
"""First words of a turn, by dialect."""

LEXICON = Lexicon(
    openers=tuple(Spelled(word) for word in OPENERS),
    marker="Wait",
    alternative="Adding",
    legal=(*OPENERS, "Well", "Adding", "Next", "With", "So", "That"),
    questions=(Asked("report", " Is that too much? Answer:", ("yes",), ("no",)),),
    openings={
        "initializing": ("I need",),
        "example-testing": ("Let me start", "First", "Suppose"),
        "deduction": ("Adding", "Next", "With", "So"),
        "backtracking": (*OPENERS, "Let me go", "Let me begin", "I will", "Back"),
        "uncertainty-estimation": ("Well",),
        "final-answer": ("That",),
    },
)


@dataclass(frozen=True)
class Said:
    """A sentence of a form.

    Attributes:
        form: of `FORMS`.
        numbers: by the name of their place.
    """

    form: str
    numbers: Mapping[str, int]


def say(form: str, random: Random, dialect: int | None = None, **numbers: object) -> str:
    """A sentence of a form, in a dialect or any."""
    forms = FORMS[form]
    template = random.choice(forms) if dialect is None else forms[dialect]
    return template.format(**numbers)


def understand(sentence: str) -> Said | None:
    """What a whole sentence says; None where it is of no form."""
    sentence = " ".join(sentence.split())
    for form, patterns in _PATTERNS.items():
        for pattern in patterns:
            if match := pattern.fullmatch(sentence):
                numbers = {key: int(text) for key, text in match.groupdict().items()}
                return Said(form, numbers)
    return None


def listed(numbers: Sequence[int]) -> str:
    """Numbers as they are listed in a sentence: "13, 17 and 4"."""
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _pattern(template: str) -> re.Pattern[str]:
    """The sentences that a template makes; a place that comes twice is one number."""
    pattern, seen = "", set[str]()
    for text, name, _, _ in Formatter().parse(template):
        pattern += re.escape(text)
        if name in _LISTS:
            pattern += _LISTS[name]
        elif name:
            pattern += f"(?P={name})" if name in seen else rf"(?P<{name}>\d+)"
            seen.add(name)
    return re.compile(pattern)


_LISTS = {"numbers": r"[\d, and]+", "sum": r"[\d +]+"}
_PATTERNS = {form: [_pattern(one) for one in forms] for form, forms in FORMS.items()}
