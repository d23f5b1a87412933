"""Is the direction causal: where, at which dose, in which model, and against which null?

Layer and window are chosen on dev problems; the test problems are read once, after that.

Reads: models/*, data/{interim/traces,processed/sentences,raw/problems}, results/directions
Writes: results/steer/{selection,evidence,magnitudes,forced,elsewhere,arms,arms_elsewhere,
    necessity,transfer,doses,usable,signs,spread,reports,free}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import safetensors.torch

from backtracking.claims.verdicts import judge_causal, judge_primary
from backtracking.domains.organism.recipes import recipe_of
from backtracking.effects.necessity import necessity
from backtracking.effects.rates import (
    BASELINE,
    Label,
    Measured,
    dose_response,
    excess,
    signs,
    steered,
    tabulate,
    tabulate_elsewhere,
)
from backtracking.effects.transfer import transfer_matrix
from backtracking.interventions.arms import (
    all_directions,
    compare_arms,
    extra_directions,
    force_extras,
    usable_doses,
)
from backtracking.interventions.questions import report
from backtracking.interventions.runs import (
    Choice,
    Inputs,
    Plan,
    choose,
    force,
    free_runs,
    magnitudes,
    score_on_dev,
)
from backtracking.models import loading
from backtracking.records import traces
from backtracking.records.moments import read_moments
from backtracking.records.traces import Problem, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.spread import Spread, spread_of
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params(Plan):
    """The plan of the interventions, and what they run on."""

    cores: Cores


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs, n_at_once: int = 1) -> dict[str, Any]:
    """All results of the stage by file name.

    Args:
        params: the plan.
        bootstrap: resamples and level.
        inputs: models, traces and directions.
        n_at_once: parts that are run at a time.
    """
    grid = score_on_dev(params, inputs, n_at_once)
    choice = choose(params, grid)
    ran = _run_parts(params, bootstrap, inputs, choice, n_at_once)
    measured = {role: ran["forced", role] for role in inputs.targets}
    forced = [row for one in measured.values() for row in tabulate(one, bootstrap)]
    elsewhere = [row for one in measured.values() for row in tabulate_elsewhere(one, bootstrap)]
    dev, extras = ran["forced on dev", "reasoning"], extra_directions(inputs, choice, params)
    reports = [row for kind, _, role in _asked(inputs) for row in ran[f"report at {kind}", role]]
    primary = Label(inputs.base_by_role["reasoning"], 1.0, "decision")
    return {
        "selection": asdict(choice) | {"chosen_on": "dev", "grid": grid},
        "evidence": judge(measured, inputs, bootstrap),
        "magnitudes": magnitudes(inputs, choice),
        "forced": forced,
        "elsewhere": elsewhere,
        "arms": compare_arms(
            measured["reasoning"].with_arms_of(ran["further arms", "reasoning"]),
            all_directions(inputs, choice, extras),
            bootstrap,
        ),
        "arms_elsewhere": tabulate_elsewhere(ran["further arms", "reasoning"], bootstrap),
        "necessity": ran["necessity", "reasoning"],
        "transfer": transfer_matrix(inputs, measured, reports, bootstrap),
        "doses": respond_to_doses(params, bootstrap, inputs, choice, measured["reasoning"], dev),
        "usable": usable_doses(dev, params.min_agreement, bootstrap),
        "spread": asdict(_spread(params, measured["reasoning"], primary)),
        "signs": [row for one in measured.values() for row in signs(one, bootstrap)],
        "reports": reports,
        "free": [row for role in inputs.base_by_role for row in ran["free runs", role]],
    }


def _run_parts(
    params: Params, bootstrap: Bootstrap, inputs: Inputs, choice: Choice, n_at_once: int
) -> dict[tuple[str, str], Any]:
    """All runs of the models at the chosen place, by what is run and in which model."""
    extras = extra_directions(inputs, choice, params)
    removed = {
        name: one.unit
        for name, one in all_directions(inputs, choice, extras).items()
        if one.group in ("matched", "action", "form", "mean")
    }
    place, studied = (params, inputs, choice), "reasoning"
    counted = (params, bootstrap, inputs, choice)
    n_few = params.n_few_random
    jobs: dict[tuple[str, str], Callable[[], Any]] = {
        ("forced", studied): partial(force, *place, studied),
        ("free runs", studied): partial(free_runs, *counted, studied),
        ("forced on dev", studied): partial(force, *place, studied, split="dev", n_random=n_few),
        ("further arms", studied): partial(force_extras, *place, extras),
        ("necessity", studied): partial(necessity, *counted, removed),
    }
    for role in inputs.targets:
        if role != studied:
            jobs["forced", role] = partial(force, *place, role)
    for role in inputs.controls:
        jobs["free runs", role] = partial(free_runs, *counted, role)
    for kind, dose, role in _asked(inputs):
        jobs[f"report at {kind}", role] = partial(report, *counted, role, kind=kind, dose=dose)
    found = run_side_by_side(list(jobs.values()), n_at_once, "steering")
    return dict(zip(jobs, found, strict=True))


def _asked(inputs: Inputs) -> list[tuple[str, float, str]]:
    """Kind of decision, dose and model of every report: the bases' positive controls among them."""
    asked = [("alive", 1.0, role) for role in inputs.targets]
    return asked + [("over", -1.0, role) for role in inputs.targets if inputs.is_base(role)]


def respond_to_doses(
    params: Params,
    bootstrap: Bootstrap,
    inputs: Inputs,
    choice: Choice,
    test: Measured,
    dev: Measured,
) -> list[dict[str, Any]]:
    """ED50 of every direction in the reasoning model, in both signs and in three units."""
    residual = inputs.residual_norm["reasoning", choice.layer]
    rows = []
    for direction in (*inputs.sources("reasoning"), "action"):
        for kind, sign in (("alive", 1), ("over", -1)):
            found = dose_response(test, dev, direction, kind, sign, params.min_agreement, bootstrap)
            norm = None if found.ed50 is None else found.ed50 * choice.norm
            rows.append(
                {"target": "reasoning", "direction": direction, "kind": kind, "sign": sign}
                | asdict(found)
                | {"ed50_norm": norm}
                | {"ed50_mean_residual_norms": None if norm is None else norm / residual}
            )
    return rows


def _spread(params: Params, measured: Measured, label: Label) -> Spread:
    """What the primary effect varies by, for the size of further studies."""
    baseline = measured.p(BASELINE, "alive")
    return spread_of(
        measured.p(label, "alive") - baseline,
        np.stack([measured.p(one, "alive") - baseline for one in measured.randoms(label.dose)]),
        measured.problem[measured.kind == "alive"],
        params.n_samples,
    )


def judge(
    measured: Mapping[str, Measured], inputs: Inputs, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Rows of claims.json: the primary endpoint, then causality and transfer in every pair."""
    reasoning = measured["reasoning"]
    arm_by_role = {
        role: (measured[role], Label(base, 1.0, "decision"))
        for role, base in inputs.base_by_role.items()
    }
    own = arm_by_role["reasoning"]
    by_control = {
        role: excess(own, arm_by_role[role], "alive", bootstrap) for role in inputs.controls
    }
    by_base = {
        base: excess(own, (reasoning, Label(base, 1.0, "decision")), "alive", bootstrap)
        for base in inputs.other_bases
    }
    claims = [judge_primary(steered(reasoning, own[1].direction, bootstrap), by_control, by_base)]
    for role, (found, label) in arm_by_role.items():
        claims.append(judge_causal(steered(found, role, bootstrap), "causal"))
        claims.append(judge_causal(steered(found, label.direction, bootstrap), "transfer"))
    false = {(name, role) for role in inputs.controls for name in recipe_of(role).false_claims}
    return [
        claim | {"must_fail": (claim["claim"], claim["pair"].split(" -> ")[1]) in false}
        for claim in claims
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Steers."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "steer", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    n_at_once = params_.cores.begin()
    roles = params.load(Roles, "models", workspace.params)
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    source = workspace.results("directions")
    table = artifacts.read_json(source / "directions.json")
    inputs = Inputs(
        model_by_role={
            role: loading.load(workspace.model(role), device=params_.cores.device)
            for role in roles.all
        },
        traces=written,
        moments=read_moments(
            written, traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
        ),
        problems=traces.read(Problem, workspace.problems / "problems.jsonl"),
        direction_by_name=safetensors.torch.load_file(source / "directions.safetensors"),
        residual_norm={
            (row["role"], row["layer"]): row["mean_residual_norm"]
            for row in table
            if row["form"] == "matched"
        },
        base_by_role=roles.base_by_role,
    )
    result = run(params_, bootstrap, inputs, n_at_once)
    with artifacts.new_folder(workspace.results("steer")) as folder:
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for claim in result["evidence"]:
        print(f"{claim['claim']}, {claim['pair']}: {claim['verdict']}")


if __name__ == "__main__":
    main()
