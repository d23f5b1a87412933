"""Traces of the policy with their exact sentences, and a random model that can read them."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records.moments import Moments, read_moments
from backtracking.records.traces import SPLITS, Problem, Trace
from backtracking.stages import label
from backtracking.transitions.corpus import Corpus, make_corpus

WORLD = World((4, 5), 6, 12, 2, 0.2, 0.05)
LONGEST = 240


def policy_traces(n_problems: int, seed: int = 0) -> SimpleNamespace:
    """Two traces of each problem, long ones truncated: `traces`, `moments` and `corpus`."""
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
    labelled = label.run(
        label.Params("backtracking"), Policy(), traces, list(problems.values()),
        wrapped.backend_tokenizer,
    )  # fmt: skip
    moments = read_moments(traces, labelled.sentences)
    p_dead = {row["trace_id"]: row["p_dead"] for row in labelled.tokens}
    corpus = make_corpus(traces, moments, p_dead)
    return SimpleNamespace(traces=traces, moments=moments, corpus=corpus, p_dead=p_dead)


def words_by_id() -> list[str]:
    """The world's words, by token id."""
    wrapped = build_tokenizer()
    return [str(word) for word in wrapped.convert_ids_to_tokens(list(range(len(wrapped))))]


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
    """A store with every position, whose vectors a function of the moments gives."""

    def __init__(self, moments: Moments, vectors: Callable[[Moments], np.ndarray]) -> None:
        self.moments, d_model = moments, vectors(moments).shape[1]
        self.manifest = {"layers": [0, 1], "d_model": d_model}
        self.values = vectors(moments)
        ends = zip(moments.trace, moments.end - 1, strict=True)
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


def corpus_of(n_problems: int, seed: int = 0) -> Corpus:
    """The corpus of `policy_traces`."""
    return policy_traces(n_problems, seed).corpus
