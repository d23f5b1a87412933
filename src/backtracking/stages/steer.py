"""Is the direction causal: where, at which dose, in which model, and against which null?

Layer and window are chosen on dev problems; the test problems are read once, after that.

Reads: models/*, data/{interim/traces,processed/sentences,raw/problems}, results/directions
Writes: results/steer/{selection,evidence,magnitudes,forced,elsewhere,reports,free}.json
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import safetensors.torch
import torch

from backtracking import artifacts, models, params, traces
from backtracking.claims import judge_causal, judge_primary
from backtracking.effects import (
    Label,
    Measured,
    excess,
    steered,
    tabulate,
    tabulate_elsewhere,
)
from backtracking.interventions import (
    Inputs,
    Plan,
    choose,
    force,
    free_runs,
    magnitudes,
    report,
    score_on_dev,
)
from backtracking.moments import read_moments
from backtracking.stages.command import run_stage
from backtracking.statistics import Bootstrap
from backtracking.traces import Problem, Trace
from backtracking.workspace import Roles, Workspace


@dataclass(frozen=True)
class Params(Plan):
    """The plan of the interventions, and where they run.

    Attributes:
        n_threads: CPU threads.
        device: as torch names it, or `auto`.
    """

    n_threads: int
    device: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_threads < 1:
            raise ValueError(f"n_threads {self.n_threads} must be 1 or more.")


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs) -> dict[str, Any]:
    """All results of the stage by file name."""
    grid = score_on_dev(params, inputs)
    choice = choose(params, grid)
    measured = {role: force(params, inputs, choice, role) for role in inputs.model_by_role}
    forced = [row for one in measured.values() for row in tabulate(one, bootstrap)]
    elsewhere = [row for one in measured.values() for row in tabulate_elsewhere(one, bootstrap)]
    return {
        "selection": asdict(choice) | {"chosen_on": "dev", "grid": grid},
        "evidence": judge(measured, inputs, bootstrap),
        "magnitudes": magnitudes(inputs, choice),
        "forced": forced,
        "elsewhere": elsewhere,
        "reports": report(params, bootstrap, inputs, choice),
        "free": free_runs(params, bootstrap, inputs, choice),
    }


def judge(
    measured: Mapping[str, Measured], inputs: Inputs, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Rows of claims.json: the primary endpoint, then causality and transfer in every pair."""
    reasoning, label = measured["reasoning"], Label("base", 1.0, "decision")
    by_control = {
        role: excess(reasoning, measured[role], label, "alive", bootstrap)
        for role in inputs.controls
    }
    claims = [judge_primary(steered(reasoning, "base", bootstrap), by_control, {})]
    for role in ("reasoning", *inputs.controls):
        claims.append(judge_causal(steered(measured[role], role, bootstrap), "causal"))
        claims.append(judge_causal(steered(measured[role], "base", bootstrap), "transfer"))
    return claims


def main(argv: Sequence[str] | None = None) -> None:
    """Steers."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "steer", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    torch.set_num_threads(params_.n_threads)
    torch.use_deterministic_algorithms(True)
    roles = params.load(Roles, "models", workspace.params).all
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    source = workspace.results("directions")
    table = artifacts.read_json(source / "directions.json")
    inputs = Inputs(
        model_by_role={
            role: models.load(workspace.model(role), device=params_.device) for role in roles
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
    )
    result = run(params_, bootstrap, inputs)
    with artifacts.new_folder(workspace.results("steer")) as folder:
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for claim in result["evidence"]:
        print(f"{claim['claim']}, {claim['pair']}: {claim['verdict']}")


if __name__ == "__main__":
    main()
