"""A finished study, read by code of its own: problems, traces, sentences, and what is true of them.

Kinds and actions are parsed from the written words; labels on disk are not read.
"""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from recomputation.llama import Llama
from ruamel.yaml import YAML
from torch import Tensor

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


@dataclass(frozen=True)
class Trace:
    """A written trace: ids of prompt and text, its sentences and decisions."""

    name: str
    problem: str
    split: str
    sample: int
    ids: list[int]
    is_cut: bool
    sentences: list[Sentence]
    decisions: list[Decision]


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


class Study:
    """All that a finished study leaves in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: Any = YAML(typ="safe").load(root / "params.yaml")
        self.studied: str = self.params["models"]["studied"]
        self.base: str = self.params["models"]["roles"][self.studied]["base"]
        vocabulary = json.loads((self.folder(self.studied) / "tokenizer.json").read_text())
        self.id_by_word: dict[str, int] = vocabulary["model"]["vocab"]
        self._read: dict[str, list[Tensor]] = {}

    def folder(self, role: str) -> Path:
        """Of a model."""
        return self.root / "models" / role

    def table(self, name: str) -> Any:
        """A file of results."""
        return json.loads((self.root / "results" / f"{name}.json").read_text())

    @cache  # noqa: B019 - a study lives as long as the process
    def model(self, role: str) -> Llama:
        """A model."""
        return Llama(self.folder(role))

    @cached_property
    def traces(self) -> list[Trace]:
        """The sampled traces, in the order of their file."""
        lines = (self.root / "data/interim/traces/traces.jsonl").read_text().splitlines()
        return [self._trace(number, json.loads(line)) for number, line in enumerate(lines)]

    @cached_property
    def decisions(self) -> list[Decision]:
        """All decisions, trace by trace."""
        return [one for trace in self.traces for one in trace.decisions]

    def split(self, decision: Decision) -> str:
        """Split of a decision's problem."""
        return self.traces[decision.trace].split

    def problem(self, decision: Decision) -> str:
        """A decision's problem."""
        return self.traces[decision.trace].problem

    def resid(self, role: str) -> list[Tensor]:
        """What a model holds while it reads each trace: layers by positions by width."""
        if role not in self._read:
            self._read[role] = [self.model(role).read(trace.ids).resid for trace in self.traces]
        return self._read[role]

    def contrasted(self, split: str) -> tuple[list[Decision], list[bool]]:
        """The decisions of both classes on a split, and which are of the positive one."""
        contrast = self.params["contrast"]
        assert contrast["by"] == "kind" and contrast["strata"] == ["value"], contrast
        both = contrast["positive"] + contrast["negative"]
        chosen = [one for one in self.decisions if self.split(one) == split and one.kind in both]
        return chosen, [one.kind in contrast["positive"] for one in chosen]

    def _trace(self, number: int, record: dict[str, Any]) -> Trace:
        word_by_id = {id_: word for word, id_ in self.id_by_word.items()}
        prompt = [word_by_id[id_] for id_ in record["prompt_ids"]]
        is_cut, first = record["finish_reason"] == "length", len(prompt)
        written = record["token_ids"] if is_cut else record["token_ids"][:-1]
        sentences = sentences_of([word_by_id[id_] for id_ in written], first)
        asked = prompt[prompt.index("Numbers") + 1 : prompt.index(".")]
        target = int(prompt[prompt.index("Target") + 1])
        decisions = decisions_of(number, [int(word) for word in asked], target, sentences)
        ids = record["prompt_ids"] + record["token_ids"]
        name, problem, split = (record[key] for key in ("trace_id", "problem_id", "split"))
        sample = record["sample"]
        return Trace(name, problem, split, sample, ids, is_cut, sentences, decisions)


def rows(study: Study, role: str, layer: int, chosen: list[Decision], window: list[int]) -> Tensor:
    """Mean of the residual stream in a window of offsets from the deciding token."""
    found = [
        study.resid(role)[one.trace][layer, one.position + window[0] : one.position + window[1] + 1]
        for one in chosen
    ]
    return torch.stack([one.mean(dim=0) for one in found])
