"""Which components does backtracking depend on, and what is written without them?

Components are ranked on dev problems, by what taking each one away at decisions does to
P(backtrack | dead end). On test problems every component is taken away at decisions and at matched
other sentence ends, and the first of the ranking are taken away for whole generations. The control
pairs' models stand beside: with means alone, and whole generations without the first set only.

Reads: models, data/{interim/traces,processed/labels}
Writes: results/ablate/selection.json and {measured,rollouts}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from backtracking.interventions.components import (
    Ablator,
    Ranked,
    Value,
    arms_of,
    force,
    is_dead_end,
    match_positions,
    mean_outputs,
    rank,
)
from backtracking.interventions.prefixes import prefixes_of, prompts_of
from backtracking.interventions.without_components import Removal, removals, write_without
from backtracking.models.loading import LoadedModel
from backtracking.models.sampling import Sampling
from backtracking.records import reader
from backtracking.records.columns import Sentences
from backtracking.records.decisions import Classes, Decisions
from backtracking.records.measured import Measured, baseline, write_measured
from backtracking.records.rollouts import Rollouts, write_rollouts
from backtracking.records.rows.components import RankedComponent, Ranking
from backtracking.records.traces import Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/ablate"
VALUES: tuple[Value, ...] = ("mean", "zero")
CHOSEN_ON, MEASURED_ON = "dev", "test"


@dataclass(frozen=True)
class Params:
    """How components are taken away.

    Attributes:
        n_problems: of dev and of test, whose traces are teacher-forced; None is all.
        n_samples: traces of each problem that are teacher-forced, and that means are taken over.
        top: sizes of the sets that are taken away for whole generations, from the top of the
            ranking.
        n_random: other sets of each size, of the same kinds.
        max_new_tokens: length at which generations are cut.
        rows_per_batch: prefixes in one call of the model.
        seed: of the random sets and of the generations.
        cores: what the parts run on.
    """

    n_problems: int | None
    n_samples: int
    top: tuple[int, ...]
    n_random: int
    max_new_tokens: int
    rows_per_batch: int
    seed: int
    cores: Cores

    def __post_init__(self) -> None:
        sizes = (self.n_samples, self.n_random, self.max_new_tokens, self.rows_per_batch)
        if min(*sizes, *self.top, self.n_problems or 1) < 1 or self.n_problems == 0:
            raise ValueError("all sizes, and those of `top`, must be 1 or more.")


@dataclass(frozen=True)
class Inputs:
    """What is ablated and read.

    Attributes:
        model_by_role: the models whose components are taken away, the studied one first; the
            others are control pairs'.
        traces: of the studied model.
        sentences, decisions: of these traces.
        classes: the study's.
        marked_ids: token ids that open backtracking; where there are none, nothing is measured.
    """

    model_by_role: Mapping[str, LoadedModel]
    traces: Sequence[Trace]
    sentences: Sentences
    decisions: Decisions
    classes: Classes
    marked_ids: Sequence[int]


@dataclass(frozen=True)
class Result:
    """What was measured and written, and the ranking of each model."""

    measured: list[Measured]
    rollouts: list[Rollouts]
    ranking_by_target: dict[str, list[Ranked]]


def run(params: Params, inputs: Inputs, units: Units, n_at_once: int = 1) -> Result:
    """Everything that is measured, each part kept; `n_at_once` parts side by side."""
    if not inputs.marked_ids:
        return Result([], [], {})
    ablators = average(params, inputs, units, n_at_once)
    test = force_all(params, inputs, units, ablators, MEASURED_ON, n_at_once)
    dev = force_all(params, inputs, units, ablators, CHOSEN_ON, n_at_once)
    rankings = {
        one.target: rank(
            one,
            is_dead_end(inputs.decisions[inputs.decisions.rows_of(one.decisions)], inputs.classes),
        )
        for one in dev
    }
    rollouts = write_all(params, inputs, units, ablators, rankings, n_at_once)
    return Result([*dev, *test], rollouts, rankings)


def average(params: Params, inputs: Inputs, units: Units, n_at_once: int) -> dict[str, Ablator]:
    """Every model with its components' mean outputs on train traces."""
    chosen = [t for t in inputs.traces if t.split == "train" and t.sample < params.n_samples]
    train = [trace.ids for trace in chosen]
    jobs = [
        kept(units, OUT, partial(mean_outputs, loaded, train, params.rows_per_batch))
        for loaded in inputs.model_by_role.values()
    ]
    found = run_side_by_side(jobs, n_at_once, "averaging outputs")
    by_role = zip(inputs.model_by_role.items(), found, strict=True)
    return {role: Ablator(loaded, means) for (role, loaded), means in by_role}


def force_all(
    params: Params,
    inputs: Inputs,
    units: Units,
    ablators: Mapping[str, Ablator],
    split: str,
    n_at_once: int,
) -> list[Measured]:
    """Every component taken away in both places, teacher-forced on a split, in every model.

    Its mean stands there instead; in the studied model, where it is measured, zeros as well.
    """
    chosen = _of_few(inputs.decisions.of(split=split), params.n_problems)
    prefixes, decisions = prefixes_of(
        inputs.traces, inputs.sentences, chosen, split, params.n_samples
    )
    ends = inputs.sentences[~inputs.sentences.decides]
    others = [
        match_positions(prefix.decisions, (ends.end[ends.trace == row] - 1).tolist())
        for prefix, row in zip(prefixes, dict.fromkeys(decisions.trace.tolist()), strict=True)
    ]
    arms_by_target = {
        target: arms_of(list(ablator.mean_by_component), VALUES if is_full else VALUES[:1])
        for number, (target, ablator) in enumerate(ablators.items())
        for is_full in [number == 0 and split == MEASURED_ON]
    }
    jobs = [
        kept(
            units,
            OUT,
            partial(
                force, ablators[target], prefixes, others, arms, inputs.marked_ids,
                params.rows_per_batch,
            ),
        )
        for target, arms in arms_by_target.items()
    ]  # fmt: skip
    found = run_side_by_side(jobs, n_at_once, f"ablating on {split}")
    names = (tuple(decisions.ids), tuple(dict.fromkeys(decisions.trace_id.tolist())))
    return [
        Measured(target, split, (baseline(), *arms), arrays, *names)
        for (target, arms), arrays in zip(arms_by_target.items(), found, strict=True)
    ]


def _of_few(decisions: Decisions, n_problems: int | None) -> Decisions:
    """Those of the first problems, in the order of the traces."""
    kept = list(dict.fromkeys(decisions.problem.tolist()))[:n_problems]
    return decisions[np.isin(decisions.problem, kept)]


def write_all(
    params: Params,
    inputs: Inputs,
    units: Units,
    ablators: Mapping[str, Ablator],
    rankings: Mapping[str, Sequence[Ranked]],
    n_at_once: int,
) -> list[Rollouts]:
    """Generations without the top components and without random ones, of the ranked models."""
    prompts = prompts_of(inputs.traces, MEASURED_ON)
    sampling = Sampling(params.seed, 1.0, params.max_new_tokens)
    rows: list[tuple[str, Removal]] = []
    for number, (target, ranking) in enumerate(rankings.items()):
        sizes = params.top if number == 0 else params.top[:1]
        order = [one.component for one in ranking]
        found = removals(order, sizes, params.n_random, params.seed) if order else []
        rows += [(target, one) for one in found]
    jobs = [
        kept(
            units,
            OUT,
            partial(
                write_without, ablators[target], one.components, VALUES[0], prompts, MEASURED_ON,
                sampling,
            ),
        )
        for target, one in rows
    ]  # fmt: skip
    written = run_side_by_side(jobs, n_at_once, "writing without components")
    return [
        Rollouts(target, one.name, one.group, one.arms(VALUES[0]), traces)
        for (target, one), traces in zip(rows, written, strict=True)
    ]


def describe(ranking: Sequence[Ranked]) -> Ranking:
    """A ranking as it is written."""
    rows = (RankedComponent(one.component.name, one.fall, one.fall_other) for one in ranking)
    return Ranking(CHOSEN_ON, tuple(rows))


def main(argv: Sequence[str] | None = None) -> None:
    """Ablates."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "ablate", workspace.params)
    study = Study(workspace, params_.cores.device)
    units, roles = study.units, study.roles
    n_at_once = params_.cores.begin()
    inputs = Inputs(
        model_by_role=study.models((roles.studied, *roles.controls)),
        traces=study.traces,
        sentences=study.sentences,
        decisions=study.decisions,
        classes=study.classes,
        marked_ids=study.tokens.opener_ids,
    )
    result = run(params_, inputs, units, n_at_once)
    with artifacts.new_folder(workspace.results("ablate")) as folder:
        for one in result.measured:
            write_measured(folder / "measured" / f"{one.target}.{one.run}.safetensors", one)
        write_rollouts(folder / "rollouts", result.rollouts)
        rankings = {target: describe(one) for target, one in result.ranking_by_target.items()}
        reader.write_json(folder / "selection.json", rankings)
    for target, ranking in result.ranking_by_target.items():
        print(f"{target}: {', '.join(one.component.name for one in ranking)}")


if __name__ == "__main__":
    main()
