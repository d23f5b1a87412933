"""Written words parsed back, and what is true of the search at every comparison."""

from dataclasses import dataclass
from functools import cache
from itertools import combinations

FORMS = {
    "initializing": ("Numbers #* .", "Target # .", "Start at 0 ."),
    "adding-knowledge": ("Goal # .", "Left #* .", "Left none .", "Wait for # ."),
    "example-testing": ("Try # on # .",),
    "deduction": ("Total # .", "Compare # with # .")
    + tuple(f"Check : {word} ." for word in ("over", "under", "equal")),
    "backtracking": (
        "Wait , # is too big .", "No , that is over .", "Wait , nothing left .",
        "No , none left .", "Dead end .", "Undo # on # .",
    ),
    "uncertainty-estimation": ("Well , fine .", "Hmm .", "Well ."),
    "final-answer": ("Found # .", "Give up .", "Stop ."),
}  # fmt: skip
STATE_BY_FORM = {form: state for state, forms in FORMS.items() for form in forms}
STATES = (*FORMS, "unparsed")


@dataclass(frozen=True)
class Sentence:
    """Words of a trace up to a full stop: a half-open range of its ids, and its form, if any."""

    start: int
    end: int
    words: tuple[str, ...]
    form: str | None

    @property
    def state(self) -> str:
        """What the sentence does."""
        return STATE_BY_FORM[self.form] if self.form else "unparsed"

    @property
    def numbers(self) -> list[int]:
        """The numbers in it."""
        return [int(word) for word in self.words if word.isdigit()]


@dataclass(frozen=True)
class Decision:
    """The full stop of a comparison.

    Attributes:
        trace: number of the trace.
        sentence: number of the comparison among the trace's sentences.
        start, position: its first and its last token.
        kind: what is true of the search there; total: the true sum.
        action: what the trace then does; None where it ends first.
    """

    trace: int
    sentence: int
    start: int
    position: int
    kind: str
    total: int
    action: str | None


def form_of(words: tuple[str, ...]) -> str | None:
    """The form of a sentence, numbers as `#`; None where it is no sentence of the world."""
    shape = ["#" if word.isdigit() else word for word in words]
    if words[0] in ("Numbers", "Left") and "#" in shape:
        whole = shape[1:-1] == ["#"] * (len(shape) - 2)
        shape = [words[0], "#*", words[-1]] if whole else shape
    text = " ".join(words if words[0] == "Start" else shape)
    return text if text in STATE_BY_FORM else None


def sentences_of(words: list[str], first: int) -> list[Sentence]:
    """The sentences of what was written; `first` is the position of its first word."""
    found, start = [], 0
    for at, word in enumerate(words, start=1):
        if word == "." or at == len(words):
            its = tuple(words[start:at])
            found.append(Sentence(first + start, first + at, its, form_of(its)))
            start = at
    return found


@cache
def kind_of(total: int, target: int, left: tuple[int, ...]) -> str:
    """What is true of a place in the search, by trying every subset."""
    if total >= target:
        return "solved" if total == target else "over"
    if not left:
        return "exhausted"
    sets = (one for n in range(1, len(left) + 1) for one in combinations(left, n))
    return "alive" if any(total + sum(one) == target for one in sets) else "doomed"


def decisions_of(
    trace: int, numbers: list[int], target: int, sentences: list[Sentence]
) -> list[Decision]:
    """The comparisons of a trace, the search replayed from the numbers alone.

    What is written tells only to which ancestor an undo goes back: the nearest of that total, or
    else the parent.
    """
    written, true, left = [0], [0], [list(numbers)]
    found = []
    for at, one in enumerate(sentences):
        if one.form == "Try # on # .":
            number, base = one.numbers
            left[-1] = [other for other in left[-1] if other != number]
            for path, new in ((written, base + number), (true, true[-1] + number)):
                path.append(new)
            left.append(left[-1])
        elif one.form == "Total # .":
            written[-1] = one.numbers[0]
        elif one.form == "Undo # on # .":
            same = [n for n, total in enumerate(written[:-1]) if total == one.numbers[1]]
            depth = same[-1] if same else max(0, len(written) - 2)
            for path in (written, true, left):
                del path[depth + 1 :]
        elif one.form == "Compare # with # .":
            kind = kind_of(true[-1], target, tuple(left[-1]))
            action = action_of(sentences[at + 1 :])
            found.append(Decision(trace, at, one.start, one.end - 1, kind, true[-1], action))
    return found


def action_of(after: list[Sentence]) -> str | None:
    """What a trace does after a comparison; a report is no action."""
    for one in after:
        if one.form and one.form.startswith("Check"):
            continue
        if one.form == "Well , fine .":
            return "idles"
        opens = one.form is None and one.words[0] in ("Wait", "No", "Undo")
        return "turns" if opens or one.state == "backtracking" else "goes on"
    return None
