"""A study in miniature, in memory: untrained models of the organism, and traces of its policy."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import torch

from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem
from backtracking.interventions.runs import Inputs
from backtracking.models import loading
from backtracking.models.training import Architecture, build_model
from backtracking.records.moments import read_moments
from backtracking.records.traces import Problem, Trace
from backtracking.stages import label

WORLD = World((3,), 4, 9, 1, 0.2, 0.05)
SPLITS = ("train", "dev", "test")
D_MODEL, N_LAYERS = 16, 2


def make_inputs(folder: Path, roles: Sequence[str], base_by_role: dict[str, str]) -> Inputs:
    """Models of these roles with large random weights, and traces in every split."""
    torch.set_num_threads(1)
    tokenizer, random = build_tokenizer(), Random(0)
    loaded = {}
    for seed, role in enumerate(roles):
        model = build_model(Architecture(N_LAYERS, D_MODEL, 2, 32, 256), tokenizer, seed)
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if "norm" not in name:
                    weights.mul_(8)
        model.save_pretrained(folder / role)
        tokenizer.save_pretrained(folder / role)
        loaded[role] = loading.load(folder / role)
    problems = [make_problem(*WORLD.draw(random), "study", SPLITS[n % 3]) for n in range(18)]
    problems = list({problem.problem_id: problem for problem in problems}.values())
    written = [_write(problem, random) for problem in problems]
    labelled = label.run(
        label.Params("backtracking"), Policy(), written, problems, tokenizer.backend_tokenizer
    )
    moments = read_moments(written, labelled.sentences)
    return Inputs(loaded, written, moments, problems, {}, {}, base_by_role)


def _write(problem: Problem, random: Random) -> Trace:
    tokenizer = build_tokenizer()
    by_word = tokenizer.get_vocab()
    numbers, target = label.read_prompt(problem.prompt)
    sentences = Writer(numbers, target, Policy(), random).write()
    ids = [by_word[word] for sentence in sentences for word in sentence]
    return Trace(
        trace_id=f"{problem.problem_id}/0",
        problem_id=problem.problem_id,
        split=problem.split,
        sample=0,
        prompt_ids=tokenizer(problem.prompt).input_ids,
        token_ids=[*ids, by_word["</s>"]],
        text="",
        finish_reason="stop",
        sampling={},
    )
