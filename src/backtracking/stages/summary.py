"""What was found, and what failed? The few numbers, tables and the figure that git holds.

Reads: models/*/training.csv, data/interim/traces/metrics.json, data/processed/labels,
    data/interim/activations/*/manifest.json, results/*
Writes (git): results/summary.json, results/claims.json, results/tables/*.csv, figures/dose.svg
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from backtracking.claims.literature.collect import all_claims
from backtracking.claims.literature.study import Study
from backtracking.records.decisions import Classes, read_kinds
from backtracking.records.rows.table import Tables
from backtracking.records.tokens import read_tokens
from backtracking.report import tracking
from backtracking.report.dose import draw_dose
from backtracking.report.tables import (
    Rows,
    Table,
    dose_table,
    find,
    ladder_rows,
    loss_table,
    table_of,
)
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.nulls import random_bound
from lifeboat.stage import artifacts

PACKAGES = ("torch", "transformers", "numpy", "scikit-learn", "dvc")

TABLES = {
    "grade": "grade/measures",
    "directions": "directions/directions",
    "cosines": "directions/cosines",
    "layers": "directions/layers",
    "forms": "directions/forms",
    "steer": "effects/steer/forced",
    "elsewhere": "effects/steer/elsewhere",
    "arms": "effects/steer/arms",
    "necessity": "effects/steer/necessity",
    "transfer": "effects/steer/transfer",
    "ed50": "effects/steer/doses",
    "signs": "effects/steer/signs",
    "reports": "effects/steer/reports",
    "free": "effects/steer/free",
    "magnitudes": "effects/steer/magnitudes",
    "pairs": "effects/pairs/counts",
    "earliest": "probe/earliest",
    "windows": "probe/windows",
    "projected": "effects/markerless/projected",
    "ablate": "effects/ablate/forced",
    "outcomes": "effects/ablate/outcomes",
    "ceilings": "belief/ceilings",
    "betas": "belief/betas",
    "benchmark": "belief/benchmark",
    "chains": "transitions/models",
    "latents": "transitions/latents",
    "representation": "transitions/representation",
    "noise": "transitions/noise",
}
"""Tables that git holds, by name: a file of results, without its random directions."""

GRADES = {
    "grade_solve_rate": "greedy_solve_rate",
    "grade_solve_rate_held_out": "held_out_size_greedy_solve_rate",
    "grade_valid_sentence_rate": "sampled_valid_sentence_rate",
    "grade_parsed_trace_rate": "sampled_parsed_trace_rate",
    "base_report_accuracy": "base_report_accuracy",
    "base_sum_accuracy": "base_sum_accuracy",
}
"""Names of summary.json for measures of the stage `grade`."""


@dataclass(frozen=True)
class Params:
    """How numbers are written.

    Attributes:
        digits: decimals in summary.json.
        loss_every: training steps that are averaged into one row of the loss table.
    """

    digits: int
    loss_every: int

    def __post_init__(self) -> None:
        if not 1 <= self.digits <= 12 or self.loss_every < 1:
            raise ValueError("digits must be from 1 to 12, and loss_every 1 or more.")


@dataclass(frozen=True)
class Results:
    """What the other stages found.

    Attributes:
        losses: loss of every training step by role.
        traces, label: metrics of these stages.
        study: all results, with the pairs.
        power: the table of `power`.
        provenance: where it all comes from.
    """

    losses: Mapping[str, Sequence[float]]
    traces: Mapping[str, Any]
    label: Mapping[str, Any]
    study: Study
    power: Rows
    provenance: Mapping[str, str]


def run(params: Params, results: Results) -> dict[str, Any]:
    """summary.json: flat, with stable names; unknown values are null."""
    study = results.study
    grades = {row["measure"]: row["value"] for row in study.rows("grade/measures")}
    found = {name: grades.get(measure) for name, measure in GRADES.items()}
    found |= {
        "label_kappa": results.label.get("kappa"),
        "label_f1_backtracking": results.label.get("f1"),
        "span_coverage": results.label["span_coverage"],
        "traces_n": sum(results.traces[f"n_{why}"] for why in ("stop", "length", "empty")),
        "traces_truncated_n": results.traces["n_length"],
        "traces_empty_n": results.traces["n_empty"],
    }
    found |= _directions(study) | _steering(study)
    found |= {"study_model": study.studied, "study_base": study.base}
    found |= {"study_dead": study.dead, "study_live": study.live}
    rounded = {key: _round(value, params.digits) for key, value in found.items()}
    return rounded | {f"provenance_{key}": value for key, value in results.provenance.items()}


def _directions(study: Study) -> dict[str, Any]:
    """The place that is steered, and what its direction is worth and like."""
    place = {"form": "matched", "window": study.window, "layer": study.layer}
    own = find(study.rows("directions/directions"), role=study.studied, **place)
    found: dict[str, Any] = {
        "selection_layer": study.layer,
        "selection_window": study.window,
        "directions_split_half_cosine": own.get("split_half_cosine"),
    }
    for row in study.rows("directions/cosines"):
        if all(row[key] == place[key] for key in place):
            found[f"directions_{row['pair'].replace('-', '_')}_cosine"] = row["cosine"]
    return found


def _steering(study: Study) -> dict[str, Any]:
    """The primary endpoint, and the probabilities that it is made of."""
    forced = study.rows("effects/steer/forced")
    primary = find(study.rows("effects/steer/evidence"), claim="primary")
    arm = {"target": study.studied, "direction": study.base, "dose": 1.0, "where": "decision"}
    found: dict[str, Any] = {}
    for kind, dose in ((study.live, 1.0), (study.dead, -1.0)):
        found |= _p_backtrack(study, forced, kind, dose)
    elsewhere = find(study.rows("effects/steer/elsewhere"), **arm)
    return found | {
        "steer_agreement_elsewhere": elsewhere.get("agreement_value"),
        "steer_primary_effect": primary.get("estimate"),
        "steer_primary_p": primary.get("p"),
        "steer_primary_holds": primary.get("verdict") == "holds",
    }


def _p_backtrack(study: Study, forced: Rows, kind: str, dose: float) -> dict[str, Any]:
    """P(backtrack) at one kind of decision: baseline, both directions, and the random bound."""
    place = (study.studied, kind, "decision")
    rows = [row for row in forced if (row["target"], row["kind"], row["where"]) == place]
    randoms = [
        row["value"]
        for row in rows
        if row["direction"].startswith("random_") and row["dose"] == dose
    ]
    bound = float(random_bound(np.array(randoms), 1 if dose > 0 else -1)) if randoms else None
    name = f"steer_p_backtrack_{kind.replace(' ', '_')}"
    return {
        f"{name}_baseline": find(rows, direction="baseline").get("value"),
        f"{name}_own": find(rows, direction=study.studied, dose=dose).get("value"),
        f"{name}_base": find(rows, direction=study.base, dose=dose).get("value"),
        f"{name}_random95": bound,
    }


def tables(params: Params, results: Results) -> dict[str, Table]:
    """Rows and columns of every table, by file name."""
    found = {
        name: table_of(results.study.rows(file), leave_out="random_")
        for name, file in TABLES.items()
    }
    return found | {
        "loss": loss_table(results.losses, params.loss_every),
        "dose": dose_table(results.study),
        "power": table_of(results.power),
        "probe": table_of(
            [
                row
                for row in results.study.rows("probe/grid")
                if (row["anchor"], row["pairs"]) == ("decision", "all")
            ]
        ),
        "ladder": table_of(ladder_rows(results.study.part("transitions/ladder"))),
    }


def _round(value: Any, digits: int) -> Any:
    return round(value, digits) if isinstance(value, float) else value


def read_results(workspace: Workspace, roles: Roles) -> Results:
    """All that the other stages wrote."""
    manifests = {
        role: artifacts.read_json(workspace.activations(role) / "manifest.json")
        for role in roles.all
    }
    marker = read_tokens(workspace.labels / "tokens.json").marker
    return Results(
        losses={
            role: read_losses(workspace.model(role) / "training.csv")
            for role in roles.all
            if (workspace.model(role) / "training.csv").is_file()
        },
        traces=artifacts.read_json(workspace.traces / "metrics.json"),
        label=artifacts.read_json(workspace.labels / "metrics.json"),
        study=Study(
            base_by_role={
                role: base for role, base in roles.base_by_role.items() if role not in roles.repeats
            },
            classes=params.load(Classes, "contrast", workspace.params),
            kinds=read_kinds(workspace.labels / "kinds.json"),
            marker=marker.name if marker else "none",
            tables=Tables(workspace.root / "results"),
            files=read_files(workspace.root / "results"),
        ),
        power=read_csv(workspace.results("power") / "power.csv"),
        provenance={"params_sha256": artifacts.sha256_json(params.read(workspace.params))}
        | {f"model_{role}_sha256": one["model_sha256"] for role, one in manifests.items()}
        | {"device": manifests[roles.studied]["check"]["device"]}
        | {f"version_{name}": version(name) for name in PACKAGES},
    )


def read_files(results: Path) -> dict[str, Any]:
    """Content of every JSON file of the stages' results, by its path without the ending."""
    return {
        path.relative_to(results).with_suffix("").as_posix(): artifacts.read_json(path)
        for path in sorted(results.glob("*/**/*.json"))
    }


def read_losses(path: Path) -> list[float]:
    """The loss of every step from a training table."""
    return [float(row["loss"]) for row in read_csv(path)]


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a table, every cell a text."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def main(argv: Sequence[str] | None = None) -> None:
    """Summarises the study."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "summary", workspace.params)
    results = read_results(workspace, params.load(Roles, "models", workspace.params))
    folder = workspace.root / "results"
    artifacts.write_json(folder / "summary.json", run(params_, results))
    artifacts.write_json(folder / "claims.json", all_claims(results.study))
    for name, (rows, columns) in tables(params_, results).items():
        artifacts.write_csv(folder / "tables" / f"{name}.csv", rows, columns)
    figure = draw_dose(results.study)
    artifacts.write_bytes(workspace.root / "figures" / "dose.svg", figure)
    track(workspace, results, artifacts.read_json(folder / "summary.json"))


def track(workspace: Workspace, results: Results, summary: Mapping[str, Any]) -> None:
    """Sends losses and the summary to Weights & Biases, where that is wanted."""
    with tracking.run("summary", params.read(workspace.params), workspace.root) as run:
        for row in loss_table(results.losses, 20)[0]:
            run.log({f"loss/{role}": float(value) for role, value in row.items()})
        run.summary(summary)


if __name__ == "__main__":
    main()
