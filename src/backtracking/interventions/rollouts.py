"""Free runs of the organism under steering, judged sentence by sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.domains.organism.decisions import decision_rule
from backtracking.domains.organism.states import Reading, Replay, is_solved
from backtracking.domains.organism.world import read_prompt
from backtracking.effects.coherence import opens_backtracking, repeated_share
from backtracking.labels.rules import keyword_rate
from backtracking.labels.states import STATES
from backtracking.models.generation import Generation, Sampling, Steering, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.scoring import token_nll
from backtracking.records.traces import Problem
from backtracking.statistics.bootstrap import Bootstrap, Interval
from lifeboat.stage import progress

MEASURES = (
    "solve_rate", "conditional_validity", "empty_rate", "truncated_rate", "backtracking_rate",
    "keyword_rate", "n_tokens", "p_act_over", "p_act_exhausted", "p_act_doomed", "p_act_alive",
    "nll", "repeated_rate",
    *(f"state_{state}" for state in (*STATES, "unparsed") if state != "backtracking"),
)  # fmt: skip
"""All are means over rollouts, tokens, sentences or decisions; intervals are by problem.

`nll` is -log p of a token under the model without steering, in nats, the first tokens of
backtracking sentences left out (perplexity is its exponential); `repeated_rate` is the share of
n-grams that stood there before, and `state_<name>` the share of the sentences in every state but
`backtracking_rate`'s own.
"""


@dataclass(frozen=True)
class Observed:
    """What one measure is the mean of, with the problem of each value."""

    values: list[float]
    problem_ids: list[str]


@dataclass(frozen=True)
class Rollout:
    """How free runs are made, and whether what they write is scored by the model (`nll`)."""

    layer: int
    seed: int
    max_new_tokens: int
    is_scored: bool = True


def roll_out(
    loaded: LoadedModel,
    rollout: Rollout,
    problems: Sequence[Problem],
    vectors: Sequence[Float[Tensor, " d_model"]],
    bootstrap: Bootstrap,
) -> list[list[dict[str, Any]]]:
    """For each vector, the rows of `MEASURES` over one sampled rollout per problem.

    Arms share a problem's random numbers and all arms and problems share batches. Each row also has
    the paired difference to the first vector, which is to be the baseline.
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
    ids = [one.token_ids for one in written]
    nll = token_nll(loaded, prompts * len(vectors), ids) if rollout.is_scored else None
    n = len(problems)
    seen = [
        observe(loaded, problems, written[i : i + n], nll[i : i + n] if nll else None)
        for i in range(0, len(written), n)
    ]
    return [_measure(arm, seen[0], bootstrap) for arm in seen]


def observe(
    loaded: LoadedModel,
    problems: Sequence[Problem],
    written: Sequence[Generation],
    nll: Sequence[np.ndarray] | None = None,
) -> dict[str, Observed]:
    """The observations behind `MEASURES`, without measures that have none.

    Args:
        loaded: the model that wrote.
        problems: the problem of each generation.
        written: what it wrote.
        nll: of each generation's tokens, under the model that scores them.
    """
    found = {name: Observed([], []) for name in MEASURES}
    for row, (problem, generation) in enumerate(zip(problems, written, strict=True)):
        text = str(loaded.tokenizer.decode(generation.token_ids, skip_special_tokens=True))
        words = loaded.tokenizer.convert_ids_to_tokens(generation.token_ids)
        if generation.finish_reason != "length":
            words = words[:-1]
        readings = Replay(*read_prompt(problem.prompt)).read(list(words))
        observed = _observations(generation, readings, text)
        if nll is not None:
            opens = opens_backtracking(readings, len(nll[row]))
            observed += [("nll", float(value)) for value in nll[row][~opens]]
        for name, value in observed:
            found[name].values.append(value)
            found[name].problem_ids.append(problem.problem_id)
    return {name: one for name, one in found.items() if one.values}


def _measure(
    arm: Mapping[str, Observed], baseline: Mapping[str, Observed], bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    effects = _effects(arm, baseline, list(arm), bootstrap)
    rows = []
    for (name, one), effect in zip(arm.items(), effects, strict=True):
        (level,) = bootstrap.intervals(np.array(one.values), one.problem_ids)
        row = {"measure": name} | asdict(level)
        row |= {f"effect_{key}": value for key, value in asdict(effect).items() if key != "n"}
        rows.append(row)
    return rows


def _effects(
    arm: Mapping[str, Observed],
    baseline: Mapping[str, Observed],
    names: Sequence[str],
    bootstrap: Bootstrap,
) -> list[Interval]:
    """Difference of every measure to the baseline, from its sum and count in each problem."""
    everything = [one for seen in (arm, baseline) for one in seen.values()]
    problems = sorted({problem for one in everything for problem in one.problem_ids})
    number = {problem: row for row, problem in enumerate(problems)}
    totals = np.zeros((len(problems), 2, 2, len(names)))
    for side, seen in enumerate((arm, baseline)):
        for column, name in enumerate(names):
            one = seen.get(name, Observed([], []))
            rows = np.array([number[problem] for problem in one.problem_ids], dtype=np.int64)
            totals[:, side, 0, column] = np.bincount(rows, one.values, len(problems))
            totals[:, side, 1, column] = np.bincount(rows, minlength=len(problems))

    def differences(means: np.ndarray) -> np.ndarray:
        sums, counts = means.reshape(len(means), 2, 2, -1).swapaxes(0, 2)
        ratios = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return ratios[0] - ratios[1]

    return bootstrap.intervals(totals.reshape(len(problems), -1), problems, differences)


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
    repeated = repeated_share(generation.token_ids)
    if repeated is not None:
        seen.append(("repeated_rate", repeated))
    for reading in readings:
        for state in (*STATES, "unparsed"):
            if state != "backtracking":
                seen.append((f"state_{state}", float(reading.state == state)))
        seen.append(("backtracking_rate", float(reading.state == "backtracking")))
        if reading.check != "none":
            seen.append(("conditional_validity", float(reading.valid)))
        if reading.action and reading.kind != "solved":
            seen.append((f"p_act_{reading.kind}", float(reading.action != "carries_on")))
    return seen
