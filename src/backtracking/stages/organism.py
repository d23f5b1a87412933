"""Is the organism what it should be? Measured on problems, sizes and pairs nobody trained on.

Reads: models/base, data/interim/traces, data/raw/problems, models/reasoning/tokenizer.json
Writes: results/organism/measures.json
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from backtracking.domains.organism.evaluation import (
    Observation,
    observe_base,
    observe_trace,
    policy_act_rate,
)
from backtracking.domains.organism.policy import BasePolicy, Policy
from backtracking.domains.organism.states import Replay, words_of
from backtracking.domains.organism.world import World, read_prompt
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records import traces
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params:
    """How the organism is measured.

    Attributes:
        n_reports: comparisons of held-out pairs that the base is asked to report on.
        seed: of their draw.
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_reports: int
    seed: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if self.n_reports < 1 or self.n_threads < 1:
            raise ValueError("n_reports and n_threads must be 1 or more.")


def run(
    params: Params,
    bootstrap: Bootstrap,
    base: LoadedModel,
    world: World,
    policies: tuple[Policy, BasePolicy],
    sampled: Sequence[Trace],
    greedy: Sequence[Trace],
    problems: Sequence[Problem],
    tokenizer: Tokenizer,
) -> list[dict[str, Any]]:
    """Rows of measure, value, interval and number of problems."""
    by_id = {problem.problem_id: problem for problem in problems}
    seen = observe_base(base, world, policies[1], params.n_reports, Random(params.seed))
    for prefix, group in (("sampled", sampled), ("greedy", greedy)):
        for trace in group:
            problem = by_id[trace.problem_id]
            pool = "" if problem.pool == "study" else "held_out_size_"
            readings = Replay(*read_prompt(problem.prompt)).read(words_of(trace, tokenizer))
            found = observe_trace(trace.problem_id, readings, trace.finish_reason == "stop")
            seen += [
                Observation(f"{pool}{prefix}_{one.measure}", one.problem, one.value)
                for one in found
            ]
    return measure(seen, bootstrap) + _policy_rows(policies[0])


def measure(seen: Sequence[Observation], bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """The rate of every measure, with an interval by problem."""
    by_measure: dict[str, list[Observation]] = defaultdict(list)
    for one in seen:
        by_measure[one.measure].append(one)
    rows: list[dict[str, Any]] = []
    for name, group in sorted(by_measure.items()):
        values = np.array([float(one.value) for one in group])
        (interval,) = bootstrap.intervals(values, [one.problem for one in group])
        rows.append({"measure": name} | asdict(interval))
    return rows


def _policy_rows(policy: Policy) -> list[dict[str, Any]]:
    return [
        {"measure": f"policy_act_rate_{kind}", "value": policy_act_rate(policy, kind)}
        | {"low": None, "high": None, "n": 0}
        for kind in ("dead", "live")
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures the organism."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "organism", workspace.params)
    prepare_torch(params_.n_threads)
    rows = run(
        params_,
        params.load(Bootstrap, "statistics", workspace.params),
        loading.load(workspace.model("base"), device=params_.device),
        params.load(World, "world", workspace.params),
        (
            params.load(Policy, "policy", workspace.params),
            params.load(BasePolicy, "base_policy", workspace.params),
        ),
        traces.read(Trace, workspace.traces / "traces.jsonl"),
        traces.read(Trace, workspace.traces / "greedy.jsonl"),
        traces.read(Problem, workspace.problems / "problems.jsonl"),
        Tokenizer.from_file(str(workspace.model("reasoning") / "tokenizer.json")),
    )
    with artifacts.new_folder(workspace.results("organism")) as folder:
        artifacts.write_json(folder / "measures.json", rows)


if __name__ == "__main__":
    main()
