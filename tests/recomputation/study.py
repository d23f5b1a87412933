"""A finished study: its problems, traces, models and tables, and no label that it wrote."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recomputation.llama import Llama
from recomputation.parsing import Decision, Sentence, decisions_of, sentences_of
from ruamel.yaml import YAML
from torch import Tensor


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

    @property
    def whole_sentences(self) -> list[Sentence]:
        """Its sentences without the one that a length limit cut."""
        return [one for one in self.sentences if not (self.is_cut and one.end == len(self.ids))]


class Study:
    """All that a finished study leaves in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: Any = YAML(typ="safe").load(root / "params.yaml")
        self.studied: str = self.params["models"]["studied"]
        self.base: str = self.params["models"]["roles"][self.studied]["base"]
        vocabulary = json.loads((self.folder(self.studied) / "tokenizer.json").read_text())
        self.id_by_word: dict[str, int] = vocabulary["model"]["vocab"]
        self._models: dict[str, Llama] = {}
        self._read: dict[str, list[Tensor]] = {}

    def folder(self, role: str) -> Path:
        """Of a model."""
        return self.root / "models" / role

    def table(self, name: str) -> Any:
        """A file of results."""
        return json.loads((self.root / "results" / f"{name}.json").read_text())

    def model(self, role: str) -> Llama:
        """A model."""
        if role not in self._models:
            self._models[role] = Llama(self.folder(role))
        return self._models[role]

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
