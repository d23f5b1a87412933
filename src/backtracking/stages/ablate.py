"""Which components does backtracking depend on, and does anything else survive without them?

Components are ranked on dev problems, by what taking each one away at decisions does to
P(backtrack | dead end). On test problems every component is taken away at decisions and at matched
other sentence ends, and the first of the ranking are taken away for whole generations. The control
pairs' models stand beside: with means alone, and whole generations without the first set only.

Reads: models/{reasoning,<controls>}, data/{interim/traces,processed/sentences,raw/problems}
Writes: results/ablate/{selection,forced,elsewhere,free,outcomes,evidence}.json
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from random import Random
from typing import Any

from backtracking.effects.components import Effects, rank, tabulate, tabulate_elsewhere
from backtracking.interventions.components import (
    Ablator,
    Arm,
    Component,
    Place,
    Value,
    force,
    make_ablator,
    match_positions,
)
from backtracking.interventions.runs import Inputs, prefixes_of
from backtracking.interventions.without_components import (
    compare,
    judge,
    random_sets,
    run_free,
    tabulate_free,
    to_claim,
)
from backtracking.models import loading
from backtracking.models.sampling import Sampling
from backtracking.records import traces
from backtracking.records.moments import is_decision, read_moments
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

VALUES: tuple[Value, ...] = ("mean", "zero")
PLACES: tuple[Place, ...] = ("decision", "other")


@dataclass(frozen=True)
class Params:
    """How components are taken away.

    Attributes:
        n_samples: traces of each problem that are teacher-forced, and that means are taken over.
        top: sizes of the sets that are taken away for whole generations, from the top of the
            ranking.
        n_random: other sets of each size, of the same kinds.
        kept_share: of the whole model's solved problems and valid sentences, that has to be left.
        max_new_tokens: length at which generations are cut.
        rows_per_batch: prefixes in one call of the model.
        seed: of the random sets and of the generations.
        cores: what the parts run on.
    """

    n_samples: int
    top: tuple[int, ...]
    n_random: int
    kept_share: float
    max_new_tokens: int
    rows_per_batch: int
    seed: int
    cores: Cores

    def __post_init__(self) -> None:
        sizes = (self.n_samples, self.n_random, self.max_new_tokens, self.rows_per_batch)
        if min(*sizes, *self.top) < 1:
            raise ValueError("all sizes, and those of `top`, must be 1 or more.")
        if not 0 < self.kept_share < 1:
            raise ValueError(f"`kept_share` must be between 0 and 1, found {self.kept_share}.")


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs, n_at_once: int = 1) -> dict[str, Any]:
    """All results of the stage by file name, `n_at_once` halves of a model's work side by side."""
    targets = list(inputs.base_by_role)
    jobs = [
        partial(half, params, bootstrap, inputs, target)
        for half in (choose_and_run, run_forced)
        for target in targets
    ]
    found = run_side_by_side(jobs, n_at_once, "ablating")
    by_target = [one | other for one, other in zip(found, found[len(targets) :], strict=False)]
    rows = {
        name: [row for one in by_target for row in one[name]]
        for name in ("forced", "elsewhere", "free", "outcomes", "evidence")
    }
    chosen = {target: one["selection"] for target, one in zip(targets, by_target, strict=True)}
    return {"selection": chosen} | rows


def choose_and_run(
    params: Params, bootstrap: Bootstrap, inputs: Inputs, target: str
) -> dict[str, Any]:
    """What one model's ranking on dev is, and generations without its first components."""
    ablator = _ablator(params, inputs, target)
    ranking = rank(force_split(params, inputs, ablator, target, "dev", ("mean",)))
    order = [row["component"] for row in ranking]
    named = [row | {"component": row["component"].name} for row in ranking]
    top = params.top[:1] if target in inputs.controls else params.top
    return {"selection": {"chosen_on": "dev", "ranking": named}} | run_whole(
        params, bootstrap, inputs, ablator, target, order, top
    )


def run_forced(params: Params, bootstrap: Bootstrap, inputs: Inputs, target: str) -> dict[str, Any]:
    """Every component of one model taken away on test prefixes."""
    values = VALUES[:1] if target in inputs.controls else VALUES
    ablator = _ablator(params, inputs, target)
    test = force_split(params, inputs, ablator, target, "test", values)
    return {
        "forced": tabulate(test, bootstrap),
        "elsewhere": tabulate_elsewhere(test, bootstrap),
    }


def _ablator(params: Params, inputs: Inputs, target: str) -> Ablator:
    train = [t.ids for t in inputs.traces if t.split == "train" and t.sample < params.n_samples]
    return make_ablator(inputs.model_by_role[target], train, params.rows_per_batch)


def force_split(
    params: Params,
    inputs: Inputs,
    ablator: Ablator,
    target: str,
    split: str,
    values: Sequence[Value],
) -> Effects:
    """Every component taken away in both places, teacher-forced on the traces of a split."""
    prefixes, problems, decisions = prefixes_of(inputs, split, params.n_samples)
    ends = inputs.moments[~is_decision(inputs.moments)]
    others = [
        match_positions(prefix.decisions, (ends.end[ends.trace == row] - 1).tolist())
        for prefix, row in zip(prefixes, dict.fromkeys(decisions.trace.tolist()), strict=True)
    ]
    components = sorted(ablator.module_by_component)
    arms = [Arm(*one) for one in product(components, values, PLACES)]
    ablated = force(ablator, prefixes, others, arms, inputs.marked_ids(), params.rows_per_batch)
    return Effects(target, arms, ablated, decisions.kind, decisions.problem, problems)


def run_whole(
    params: Params,
    bootstrap: Bootstrap,
    inputs: Inputs,
    ablator: Ablator,
    target: str,
    ranking: Sequence[Component],
    sizes: Sequence[int],
) -> dict[str, list[dict[str, Any]]]:
    """Generations without the top components and without random ones, with their verdicts."""
    problems = [p for p in inputs.problems if p.split == "test" and p.pool == "study"]
    sampling = Sampling(params.seed, 1.0, params.max_new_tokens)
    (baseline,) = run_free(ablator, [()], "mean", problems, sampling)
    free = [
        {"target": target, "arm": "baseline", "components": []} | row
        for row in tabulate_free(baseline, bootstrap)
    ]
    outcomes, evidence = [], []
    for k in sizes:
        chosen = tuple(ranking[:k])
        others = random_sets(chosen, ranking, params.n_random, Random(params.seed))
        top, *randoms = run_free(ablator, [chosen, *others], "mean", problems, sampling)
        arms = [f"top_{k}", *(f"random_{k}_{number}" for number in range(len(others)))]
        for arm, components, observed in zip(arms, [chosen, *others], (top, *randoms), strict=True):
            names = [one.name for one in components]
            free += [
                {"target": target, "arm": arm, "components": names} | row
                for row in tabulate_free(observed, bootstrap)
            ]
        compared = compare(baseline, top, randoms, bootstrap)
        outcomes += [
            {"target": target, "k": k, "measure": name} | asdict(one)
            for name, one in compared.items()
        ]
        evidence.append(to_claim(target, chosen, compared, judge(compared, params.kept_share)))
    return {"free": free, "outcomes": outcomes, "evidence": evidence}


def main(argv: Sequence[str] | None = None) -> None:
    """Ablates."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "ablate", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    n_at_once = params_.cores.begin()
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    inputs = Inputs(
        model_by_role={
            role: loading.load(workspace.model(role), device=params_.cores.device)
            for role in roles.base_by_role
        },
        traces=written,
        moments=read_moments(written, sentences),
        problems=traces.read(Problem, workspace.problems / "problems.jsonl"),
        direction_by_name={},
        residual_norm={},
        base_by_role=roles.base_by_role,
    )
    result = run(params_, bootstrap, inputs, n_at_once)
    with artifacts.new_folder(workspace.results("ablate")) as folder:
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for claim in result["evidence"]:
        print(f"{claim['claim']}, {claim['pair']}: {claim['outcome']}")


if __name__ == "__main__":
    main()
