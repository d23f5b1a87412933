"""A study in miniature: traces of the organism's policy, what `label` makes of them, and models.

The models have learnt nothing. Everything is in memory, or a whole workspace that stages can read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from manifests import MANIFEST
from project import write_tiny_params
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from backtracking import PROJECT_ROOT
from backtracking.activations.reader import ActivationStore
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy, Writer
from backtracking.domains.organism.tokenizer import EOS, build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.training import Architecture, build_model
from backtracking.records import reader
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Decisions
from backtracking.records.posteriors import Laws, Posteriors
from backtracking.records.sentences import EXACT
from backtracking.records.tokens import Tokens
from backtracking.records.traces import SPLITS, Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.workspace import Role, Workspace
from backtracking.stages import label
from backtracking.transitions.corpus import Corpus, make_corpus

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
ORGANISM = Organism(WORLD, Policy(), BasePolicy())
SMALL_WORLD = World((3,), 4, 9, 1, 0.2, 0.05)
D_MODEL, N_LAYERS = 16, 2
START = "data/raw/problems"
PAIR = {"base": Role(START, None, None), "reasoning": Role("models/base", "base", None)}
PAIR_AND_CONTROL = PAIR | {"shuffled": Role("models/base", "base", None)}


@dataclass(frozen=True)
class TinyStudy:
    """Traces with all that `label` makes of them."""

    domain: Organism
    traces: list[Trace]
    problems: list[Problem]
    tokenizer: Tokenizer
    labelled: label.Result

    @cached_property
    def sentences(self) -> Sentences:
        """All sentences, with their exact labels."""
        return Sentences.gather(self.labelled.sentences, self.traces, self.domain.kinds, EXACT)

    @cached_property
    def decisions(self) -> Decisions:
        """All decisions."""
        return Decisions.gather(self.labelled.decisions, self.traces, self.domain.kinds)

    @property
    def posteriors(self) -> dict[str, Posteriors]:
        """What each prefix tells of the decision ahead, by trace."""
        return self.labelled.posteriors or {}

    @property
    def laws(self) -> dict[str, Laws]:
        """P(next state) after each sentence under the policy, by trace."""
        return self.labelled.laws or {}

    @cached_property
    def corpus(self) -> Corpus:
        """The traces as sequences."""
        return make_corpus(self.traces, self.sentences, self.laws)


def write_study(
    n_problems: int,
    n_samples: int = 1,
    *,
    world: World = WORLD,
    splits: Sequence[str] = SPLITS,
    longest: int | None = None,
    seed: int = 0,
) -> TinyStudy:
    """Traces of the policy on distinct problems, whose splits are taken in turn.

    Args:
        n_problems: how many.
        n_samples: traces of each.
        world: distribution of problems.
        splits: of the problems, again and again.
        longest: tokens after which a trace is cut.
        seed: of problems and traces.
    """
    random, wrapped = Random(seed), build_tokenizer()
    problems: dict[str, Problem] = {}
    traces = []
    while len(problems) < n_problems:
        numbers, target = world.draw(random)
        problem = make_problem(numbers, target, "study", splits[len(problems) % len(splits)])
        if problem.problem_id not in problems:
            problems[problem.problem_id] = problem
            for sample in range(n_samples):
                sentences = Writer(numbers, target, Policy(), random).write()
                traces.append(_trace(problem, sentences, sample, wrapped, longest))
    domain = ORGANISM if world == WORLD else Organism(world, Policy(), BasePolicy())
    found = list(problems.values())
    tokenizer = wrapped.backend_tokenizer
    asked = label.Params(EXACT, "backtracking", 0)
    labelled = label.run(asked, domain, traces, [], found, tokenizer)
    return TinyStudy(domain, traces, found, tokenizer, labelled)


def _trace(
    problem: Problem,
    sentences: list,
    sample: int,
    wrapped: PreTrainedTokenizerFast,
    longest: int | None,
) -> Trace:
    by_word = wrapped.get_vocab()
    ids = [by_word[word] for sentence in sentences for word in sentence] + [by_word[EOS]]
    is_cut = longest is not None and len(ids) > longest
    return Trace(
        trace_id=f"{problem.problem_id}/{sample}",
        problem_id=problem.problem_id,
        split=problem.split,
        sample=sample,
        prompt_ids=wrapped(problem.prompt).input_ids,
        token_ids=ids[:longest],
        text="",
        finish_reason="length" if is_cut else "stop",
        sampling={},
    )


def words() -> Tokens:
    """The world's words as ids."""
    return spell(ORGANISM.lexicon, build_tokenizer().backend_tokenizer)


def make_model(folder: Path, seed: int = 0, scale: float = 1.0) -> LoadedModel:
    """A random model of two layers that reads the world's words; `scale` times usual weights."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = build_model(Architecture(N_LAYERS, D_MODEL, 2, 32, 400), tokenizer, seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.mul_(scale)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loading.load(folder)


def make_models(folder: Path, roles: Sequence[str], scale: float = 1.0) -> dict[str, LoadedModel]:
    """Such models by role, each in a folder of its own."""
    return {role: make_model(folder / role, seed, scale) for seed, role in enumerate(roles)}


def write_workspace(
    root: Path,
    study: TinyStudy,
    roles: Mapping[str, Role] = PAIR_AND_CONTROL,
    *,
    overlay: Mapping[str, Any] | None = None,
    scale: float = 8.0,
) -> Workspace:
    """A workspace with all that stages after `label` read, but for activations.

    Args:
        root: its folder.
        study: its traces, which stand there as sampled and as greedy ones.
        roles: its models, all of them untrained.
        overlay: further values of params.yaml, which are the tiny study's.
        scale: of the models' weights.
    """
    workspace = Workspace(root)
    write_tiny_params(workspace.params, only_roles(roles), overlay or {})
    make_models(root / "models", list(roles), scale)
    reader.write_lines(workspace.problems / "problems.jsonl", study.problems)
    reader.write_lines(workspace.traces / "traces.jsonl", study.traces)
    reader.write_lines(workspace.traces / "greedy.jsonl", study.traces)
    study.labelled.write(workspace.labels)
    return workspace


def only_roles(roles: Mapping[str, Role]) -> dict[str, Any]:
    """An overlay after which there are these roles, and no others."""
    known = params.read(PROJECT_ROOT / "params.yaml")["models"]["roles"]
    chosen = {role: asdict(one) for role, one in roles.items()}
    return {"models": {"roles": dict.fromkeys(known) | chosen}}


class Planted(ActivationStore):
    """A store with every position: what a function gives at sentence ends of layer 1, else noise.

    Args:
        sentences: of the traces.
        vectors: one for each sentence.
    """

    def __init__(self, sentences: Sentences, vectors: Callable[[Sentences], np.ndarray]) -> None:
        self.values = vectors(sentences)
        self.manifest = replace(MANIFEST, d_model=self.values.shape[1])
        ends = zip(sentences.trace, sentences.end - 1, strict=True)
        self.row_by_end = {(int(t), int(p)): row for row, (t, p) in enumerate(ends)}

    def has(self, trace: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Every token is stored."""
        return position >= 0

    def gather(self, layer: int, trace: np.ndarray, position: np.ndarray) -> torch.Tensor:
        """What was planted at sentence ends of layer 1, noise elsewhere."""
        rng = np.random.default_rng([layer, len(trace)])
        found = rng.standard_normal((len(trace), self.values.shape[1]))
        if layer == 1:
            for n, place in enumerate(zip(trace, position, strict=True)):
                row = self.row_by_end.get((int(place[0]), int(place[1])))
                if row is not None:
                    found[n] = self.values[row] + 0.1 * found[n]
        return torch.from_numpy(found)
