"""Traces of the policy with what is known of them, and a random model that can read them."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backtracking.activations.reader import ActivationStore
from backtracking.domains.lexicon import spell
from backtracking.domains.organism.organism import Organism
from backtracking.domains.organism.policy import BasePolicy, Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records.columns import Sentences
from backtracking.records.sentences import EXACT
from backtracking.records.tokens import Tokens
from backtracking.records.traces import SPLITS, Problem, Trace
from backtracking.transitions.corpus import make_corpus

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
ORGANISM = Organism(WORLD, Policy(), BasePolicy())
LONGEST = 240


def policy_traces(n_problems: int, seed: int = 0) -> SimpleNamespace:
    """Two traces of each problem, long ones truncated, and what the domain reads of them.

    Their `traces`, `problems` by id, `sentences`, `posteriors` and `laws`, and the `corpus`.
    """
    random, wrapped = Random(seed), build_tokenizer()
    traces, problems = [], {}
    while len(problems) < n_problems:
        numbers, target = WORLD.draw(random)
        split = SPLITS[(0, 0, 1, 2, 2)[len(problems) % 5]]
        problem = make_problem(numbers, target, "study", split)
        if problem.problem_id not in problems:
            problems[problem.problem_id] = problem
            traces += [
                _trace(problem, Writer(numbers, target, Policy(), random).write(), sample, wrapped)
                for sample in range(2)
            ]
    readings = {
        one.trace_id: ORGANISM.read(
            one, problems[one.problem_id], wrapped.backend_tokenizer, with_laws=True
        )
        for one in traces
    }
    records = [one for reading in readings.values() for one in reading.sentences]
    sentences = Sentences.gather(records, traces, ORGANISM.kinds, EXACT)
    posteriors = {name: one.posteriors for name, one in readings.items() if one.posteriors}
    laws = {name: one.laws for name, one in readings.items() if one.laws}
    return SimpleNamespace(
        traces=traces, problems=problems, sentences=sentences, posteriors=posteriors, laws=laws,
        corpus=make_corpus(traces, sentences, posteriors, laws),
    )  # fmt: skip


def words() -> Tokens:
    """The world's words as ids."""
    return spell(ORGANISM.lexicon, build_tokenizer().backend_tokenizer)


def random_model(folder: Path) -> LoadedModel:
    """A tiny model of random weights with the world's tokenizer."""
    wrapped = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(wrapped), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=320, initializer_range=0.4,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return loading.load(folder)


class Planted(ActivationStore):
    """A store with every position, whose vectors a function of the sentences gives."""

    def __init__(self, sentences: Sentences, vectors: Callable[[Sentences], np.ndarray]) -> None:
        self.values = vectors(sentences)
        self.manifest = {"layers": [0, 1], "d_model": self.values.shape[1]}
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


def _trace(problem: Problem, sentences: list, sample: int, wrapped: Any) -> Trace:
    by_word = wrapped.get_vocab()
    ids = [by_word[word] for sentence in sentences for word in sentence] + [by_word["</s>"]]
    cut = len(ids) > LONGEST
    return Trace(
        f"{problem.problem_id}/{sample}", problem.problem_id, problem.split, sample,
        wrapped(problem.prompt).input_ids, ids[:LONGEST], "", "length" if cut else "stop", {},
    )  # fmt: skip
