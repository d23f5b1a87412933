"""What was found, and what failed? The few numbers, tables and the figure that git holds.

Reads: models/*/training.csv, data/{interim/traces,processed/sentences}/metrics.json,
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

FILES = (
    "organism/measures",
    "directions/directions", "directions/cosines", "directions/layers", "directions/forms",
    "stability/metrics",
    "steer/selection", "steer/evidence", "steer/magnitudes", "steer/forced", "steer/elsewhere",
    "steer/arms", "steer/necessity", "steer/transfer", "steer/doses", "steer/usable",
    "steer/signs", "steer/reports", "steer/free",
    "seeds/counts",
    "probe/selection", "probe/grid", "probe/earliest", "probe/windows", "probe/shuffled",
    "lens/ranks", "lens/projected", "lens/evidence",
    "ablate/forced", "ablate/outcomes", "ablate/evidence",
    "belief/ceilings", "belief/betas", "belief/necessity", "belief/benchmark", "belief/evidence",
    "transitions/models", "transitions/densities", "transitions/ladder", "transitions/latents",
    "transitions/representation", "transitions/noise", "transitions/selection",
)  # fmt: skip
"""What is read of the stages' results, as `<stage>/<file>`."""

TABLES = {
    "organism": "organism/measures",
    "directions": "directions/directions",
    "cosines": "directions/cosines",
    "layers": "directions/layers",
    "forms": "directions/forms",
    "steer": "steer/forced",
    "elsewhere": "steer/elsewhere",
    "arms": "steer/arms",
    "necessity": "steer/necessity",
    "transfer": "steer/transfer",
    "ed50": "steer/doses",
    "signs": "steer/signs",
    "reports": "steer/reports",
    "free": "steer/free",
    "magnitudes": "steer/magnitudes",
    "seeds": "seeds/counts",
    "earliest": "probe/earliest",
    "windows": "probe/windows",
    "projected": "lens/projected",
    "ablate": "ablate/forced",
    "outcomes": "ablate/outcomes",
    "ceilings": "belief/ceilings",
    "betas": "belief/betas",
    "benchmark": "belief/benchmark",
    "chains": "transitions/models",
    "latents": "transitions/latents",
    "representation": "transitions/representation",
    "noise": "transitions/noise",
}
"""Tables that git holds, by name: a file, without its random directions."""


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
    place = {"form": "matched", "window": study.window, "layer": study.layer}
    organism = {row["measure"]: row["value"] for row in study.rows("organism/measures")}
    primary = find(study.rows("steer/evidence"), claim="primary")
    cosines, forced = study.rows("directions/cosines"), study.rows("steer/forced")
    own = find(study.rows("directions/directions"), role="reasoning", **place)
    found: dict[str, Any] = {
        "organism_solve_rate": organism["greedy_solve_rate"],
        "organism_solve_rate_held_out_size": organism.get("held_out_size_greedy_solve_rate"),
        "organism_valid_sentence_rate": organism["sampled_valid_sentence_rate"],
        "organism_parsed_trace_rate": organism.get("sampled_parsed_trace_rate"),
        "base_report_accuracy": organism["base_report_accuracy"],
        "base_sum_accuracy": organism["base_sum_accuracy"],
        "label_kappa": results.label["kappa"],
        "label_f1_backtracking": results.label["f1"],
        "span_coverage": results.label["span_coverage"],
        "traces_n": sum(results.traces[f"n_{why}"] for why in ("stop", "length", "empty")),
        "traces_truncated_n": results.traces["n_length"],
        "traces_empty_n": results.traces["n_empty"],
        "selection_layer": study.layer,
        "selection_window": study.window,
        "directions_split_half_cosine": own["split_half_cosine"],
        "directions_base_reasoning_cosine": find(cosines, pair="base-reasoning", **place)["cosine"],
    }
    for row in cosines:
        if row["pair"] != "base-reasoning" and all(row[key] == place[key] for key in place):
            found[f"directions_{row['pair'].replace('-', '_')}_cosine"] = row["cosine"]
    for kind, dose in (("alive", 1.0), ("over", -1.0)):
        found |= _p_backtrack(forced, kind, dose)
    arm = {"target": "reasoning", "direction": "base", "dose": 1.0, "where": "decision"}
    found["steer_agreement_elsewhere"] = find(study.rows("steer/elsewhere"), **arm)[
        "agreement_value"
    ]
    found["steer_primary_effect"] = primary["estimate"]
    found["steer_primary_p"] = primary["p"]
    found["steer_primary_holds"] = primary["verdict"] == "holds"
    rounded = {key: _round(value, params.digits) for key, value in found.items()}
    return rounded | {f"provenance_{key}": value for key, value in results.provenance.items()}


def _p_backtrack(forced: Rows, kind: str, dose: float) -> dict[str, Any]:
    """P(backtrack) at one kind of decision: baseline, both directions, and the random bound."""
    rows = [
        row
        for row in forced
        if (row["target"], row["kind"], row["where"]) == ("reasoning", kind, "decision")
    ]
    randoms = [
        row["value"]
        for row in rows
        if row["direction"].startswith("random_") and row["dose"] == dose
    ]
    bound = float(random_bound(np.array(randoms), 1 if dose > 0 else -1)) if randoms else None
    return {
        f"steer_p_backtrack_{kind}_baseline": find(rows, direction="baseline")["value"],
        f"steer_p_backtrack_{kind}_own": find(rows, direction="reasoning", dose=dose)["value"],
        f"steer_p_backtrack_{kind}_base": find(rows, direction="base", dose=dose)["value"],
        f"steer_p_backtrack_{kind}_random95": bound,
    }


def tables(params: Params, results: Results) -> dict[str, Table]:
    """Rows and columns of every table, by file name."""
    found = {
        name: table_of(results.study.rows(file), leave_out="random_")
        for name, file in TABLES.items()
    }
    return found | {
        "loss": loss_table(results.losses, params.loss_every),
        "dose": dose_table(results.study.rows("steer/forced")),
        "power": table_of(results.power),
        "probe": table_of(
            [
                row
                for row in results.study.rows("probe/grid")
                if (row["anchor"], row["pairs"]) == ("decision", "all")
            ]
        ),
        "ladder": table_of(ladder_rows(results.study.files.get("transitions/ladder") or {})),
    }


def _round(value: Any, digits: int) -> Any:
    return round(value, digits) if isinstance(value, float) else value


def read_results(workspace: Workspace, roles: Roles) -> Results:
    """All that the other stages wrote."""
    manifests = {
        role: artifacts.read_json(workspace.activations(role) / "manifest.json")
        for role in roles.all
    }
    files = {name: read_file(workspace, name) for name in FILES}
    return Results(
        losses={
            role: read_losses(workspace.model(role) / "training.csv")
            for role in roles.all
            if (workspace.model(role) / "training.csv").is_file()
        },
        traces=artifacts.read_json(workspace.traces / "metrics.json"),
        label=artifacts.read_json(workspace.sentences / "metrics.json"),
        study=Study(roles.base_by_role, files),
        power=read_csv(workspace.results("power") / "power.csv"),
        provenance={"params_sha256": artifacts.sha256_json(params.read(workspace.params))}
        | {f"model_{role}_sha256": one["model_sha256"] for role, one in manifests.items()}
        | {"device": manifests["reasoning"]["check"]["device"]}
        | {f"version_{name}": version(name) for name in PACKAGES},
    )


def read_file(workspace: Workspace, name: str) -> Any:
    """The content of results/<stage>/<file>.json."""
    stage, file = name.split("/")
    return artifacts.read_json(workspace.results(stage) / f"{file}.json")


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
    figure = draw_dose(results.study.rows("steer/forced"))
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
