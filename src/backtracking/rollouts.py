"""Free runs of the organism under steering, judged sentence by sentence."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking import progress
from backtracking.generation import Generation, Sampling, Steering, generate
from backtracking.labels import keyword_rate
from backtracking.models import LoadedModel
from backtracking.organism.decisions import decision_rule
from backtracking.organism.states import Reading, Replay, is_solved
from backtracking.organism.world import read_prompt
from backtracking.statistics import Bootstrap
from backtracking.traces import Problem

MEASURES = (
    "solve_rate", "conditional_validity", "empty_rate", "truncated_rate", "backtracking_rate",
    "keyword_rate", "n_tokens", "p_act_over", "p_act_exhausted", "p_act_doomed", "p_act_alive",
)  # fmt: skip
"""All are means over rollouts, sentences or decisions; intervals are by problem."""


@dataclass(frozen=True)
class Rollout:
    """How free runs are made: layer of the vectors, seed and length limit."""

    layer: int
    seed: int
    max_new_tokens: int


def roll_out(
    loaded: LoadedModel,
    rollout: Rollout,
    problems: Sequence[Problem],
    vectors: Sequence[Float[Tensor, " d_model"]],
    bootstrap: Bootstrap,
) -> list[list[dict[str, Any]]]:
    """For each vector, the rows of `MEASURES` over one sampled rollout per problem.

    Arms share a problem's random numbers and all arms and problems share batches.
    """
    prompts = [loaded.tokenizer(problem.prompt).input_ids for problem in problems]
    steering = Steering(
        rollout.layer,
        torch.stack(list(vectors)).repeat_interleave(len(problems), dim=0),
        "decision",
        decision_rule(loaded.tokenizer.get_vocab()),
    )
    with progress.bar("free runs", len(prompts) * len(vectors), "traces") as advance:
        written = generate(
            loaded,
            prompts * len(vectors),
            [problem.problem_id for problem in problems] * len(vectors),
            Sampling(rollout.seed, 1.0, rollout.max_new_tokens),
            steering=steering,
            progress=advance,
        )
    chunks = [written[i : i + len(problems)] for i in range(0, len(written), len(problems))]
    return [_measure(loaded, problems, chunk, bootstrap) for chunk in chunks]


def _measure(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    written: Sequence[Generation],
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    return [
        {"measure": name}
        | asdict(bootstrap.intervals(np.array(found.values), found.problem_ids)[0])
        for name, found in observe(loaded, problems, written).items()
    ]


@dataclass(frozen=True)
class Observed:
    """What one measure is the mean of, with the problem of each value."""

    values: list[float]
    problem_ids: list[str]


def observe(
    loaded: LoadedModel, problems: Sequence[Problem], written: Sequence[Generation]
) -> dict[str, Observed]:
    """The observations behind `MEASURES`, without measures that have none.

    Args:
        loaded: the model that wrote.
        problems: the problem of each generation.
        written: what it wrote.
    """
    found = {name: Observed([], []) for name in MEASURES}
    for problem, generation in zip(problems, written, strict=True):
        text = str(loaded.tokenizer.decode(generation.token_ids, skip_special_tokens=True))
        words = loaded.tokenizer.convert_ids_to_tokens(generation.token_ids)
        if generation.finish_reason != "length":
            words = words[:-1]
        readings = Replay(*read_prompt(problem.prompt)).read(list(words))
        for name, value in _observations(generation, readings, text):
            found[name].values.append(value)
            found[name].problem_ids.append(problem.problem_id)
    return {name: one for name, one in found.items() if one.values}


def _observations(
    generation: Generation, readings: list[Reading], text: str
) -> list[tuple[str, float]]:
    seen = [
        ("solve_rate", float(is_solved(readings))),
        ("empty_rate", float(generation.finish_reason == "empty")),
        ("truncated_rate", float(generation.finish_reason == "length")),
        ("n_tokens", float(len(generation.token_ids))),
    ]
    keywords = keyword_rate(text)
    if keywords is not None:
        seen.append(("keyword_rate", keywords))
    for reading in readings:
        seen.append(("backtracking_rate", float(reading.state == "backtracking")))
        if reading.check != "none":
            seen.append(("conditional_validity", float(reading.valid)))
        if reading.action and reading.kind != "solved":
            seen.append((f"p_act_{reading.kind}", float(reading.action != "carries_on")))
    return seen
