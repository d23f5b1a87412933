"""A study of models that have learnt nothing, on traces that the policy itself wrote."""

from pathlib import Path
from random import Random
from typing import Any

import torch

from backtracking import PROJECT_ROOT
from backtracking.domains.organism.policy import Policy, Writer
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.domains.organism.world import World, make_problem, read_prompt
from backtracking.interventions.runs import Inputs, Plan
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.training import Architecture, build_model
from backtracking.records.moments import Moments, read_moments
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.stages import label

FILE = PROJECT_ROOT / "params.yaml"
D_MODEL, LAYER, WINDOW = 16, 0, "4:4"
PLAN = Plan((-2.0, -1.0, 1.0, 2.0), 1, 5, 3, 1, 2, 8, 0.9, 40, 64, 3)
STATES = ("deduction", "uncertainty-estimation")


def make_model(folder: Path, seed: int = 0) -> LoadedModel:
    """A random model of two layers that reads the world's words."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    build_model(Architecture(2, D_MODEL, 2, 32, 400), tokenizer, seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return loading.load(folder)


def write_traces(
    loaded: LoadedModel, splits: tuple[str, ...]
) -> tuple[list[Trace], list[Problem], Moments]:
    """One trace of the policy for a problem of each split, with its exact labels."""
    world, policy = params.load(World, "world", FILE), params.load(Policy, "policy", FILE)
    random, ids = Random(0), loaded.tokenizer.get_vocab()
    traces, problems = [], []
    for split in splits:
        problem = make_problem(*world.draw(random), "study", split)
        sentences = Writer(*read_prompt(problem.prompt), policy, random).write()
        words = [word for sentence in sentences for word in sentence]
        name, prompt = problem.problem_id, loaded.tokenizer(problem.prompt).input_ids
        token_ids = [ids[word] for word in (*words, "</s>")]
        sampling = {"seed": 0, "temperature": 1.0, "max_new_tokens": 370}
        traces.append(
            Trace(f"{name}/0", name, split, 0, prompt, token_ids, " ".join(words), "stop", sampling)
        )
        problems.append(problem)
    tokenizer: Any = getattr(loaded.tokenizer, "backend_tokenizer")  # noqa: B009
    labelled = label.run(label.Params("backtracking"), policy, traces, problems, tokenizer)
    return traces, problems, read_moments(traces, labelled.sentences)


def make_inputs(folder: Path) -> Inputs:
    """Base, reasoning and a control pair, with directions that are drawn at random."""
    roles = ("base", "reasoning", "shuffled")
    loaded = {role: make_model(folder / role, seed) for seed, role in enumerate(roles)}
    traces, problems, moments = write_traces(loaded["reasoning"], ("test",) * 8 + ("dev",) * 3)
    names = [f"{role}.action" for role in roles]
    names += [f"{role}.matched.{WINDOW}.{LAYER}" for role in roles]
    for role in ("base", "reasoning"):
        names += [f"{role}.{form}.{WINDOW}.{LAYER}" for form in ("unmarked", "keyword", "stable")]
        names += [f"{role}.ward.-13:-8.{LAYER}", f"{role}.venhoff.-1:10.{LAYER}"]
    names += [f"reasoning.state.{state}.-1:10.{LAYER}" for state in STATES]
    names += [f"reasoning.null_{k}.{WINDOW}.{LAYER}" for k in range(4)]
    names += [f"reasoning.mean.-1:10.{LAYER}", "reasoning.null_0.1:1.0", "reasoning.null_0.4:4.1"]
    vectors = torch.randn(len(names), D_MODEL, generator=torch.Generator().manual_seed(0))
    return Inputs(
        loaded, traces, moments, problems, dict(zip(names, vectors, strict=True)),
        {(role, LAYER): 1.0 for role in roles}, {"reasoning": "base", "shuffled": "base"},
    )  # fmt: skip
