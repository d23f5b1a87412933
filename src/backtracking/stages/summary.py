"""What was found, and what failed? The few numbers and tables that git holds.

Reads: models/*/training.csv, data/interim/traces/metrics.json, data/processed/labels,
    data/interim/activations/*/manifest.json, results/*
Writes (git): results/{summary,metrics,claims,provenance}.json, results/tables/*.csv
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from backtracking.activations.manifest import read_manifest
from backtracking.claims.literature.collect import all_claims
from backtracking.claims.literature.rows import untestable
from backtracking.claims.literature.study import Study
from backtracking.domains.construction import Told, built
from backtracking.domains.registry import open_domain
from backtracking.effects.rates import HOW
from backtracking.effects.seen import AFFINE
from backtracking.labels.agreement import Metrics
from backtracking.records import reader
from backtracking.records.decisions import Classes
from backtracking.records.measured import BASELINE, RANDOM, Edit
from backtracking.records.rounding import rounded
from backtracking.records.rows.arms import (
    ArmKey,
    Compared,
    Elsewhere,
    Forced,
    Free,
    Parting,
    Projected,
    Sign,
    Untested,
    Untrained,
)
from backtracking.records.rows.belief import Beta, Patched
from backtracking.records.rows.choice import Magnitude
from backtracking.records.rows.claims import Count, Evidence
from backtracking.records.rows.components import AblatedForced, TopOutcome
from backtracking.records.rows.directions import FormCosine, PairCosine, Strength
from backtracking.records.rows.drawn import Calibration, Frozen
from backtracking.records.rows.measures import Measure
from backtracking.records.rows.probe import Probed, Within
from backtracking.records.rows.steering import Cell, Curve, Necessity, Report
from backtracking.records.rows.table import Row, Tables, first
from backtracking.records.rows.transitions import (
    Forecast,
    Representation,
    Rung,
    StateModel,
)
from backtracking.records.sentences import read_kinds
from backtracking.records.tokens import read_tokens
from backtracking.report import recorded, tracking
from backtracking.report.draws import summarize_draws
from backtracking.report.tables import (
    Rows,
    Table,
    decided,
    decoding_table,
    dose_table,
    loss_table,
    p_backtrack_key,
    random_levels,
    table_of,
)
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.nulls import random_bound
from lifeboat.stage import artifacts

PACKAGES = ("torch", "transformers", "numpy", "scikit-learn", "dvc")

TABLES: Mapping[str, type[Row]] = {
    "grade": Measure,
    "directions": Strength,
    "cosines": PairCosine,
    "forms": FormCosine,
    "steer": Forced,
    "controls": Untrained,
    "elsewhere": Elsewhere,
    "necessity": Necessity,
    "transfer": Cell,
    "ed50": Curve,
    "signs": Sign,
    "reports": Report,
    "free": Free,
    "partings": Parting,
    "magnitudes": Magnitude,
    "pairs": Count,
    "probe": Probed,
    "within": Within,
    "projected": Projected,
    "ablate": AblatedForced,
    "outcomes": TopOutcome,
    "ceilings": Patched,
    "betas": Beta,
    "chains": StateModel,
    "forecasts": Forecast,
    "representation": Representation,
    "ladder": Rung,
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

HEADLINES = {
    "effect": "steer_primary_effect",
    "p": "steer_primary_p",
    "holds": "steer_primary_holds",
    "split_half": "directions_split_half_cosine",
    "layer": "selection_layer",
    "solved": "grade_solve_rate",
    "valid": "grade_valid_sentence_rate",
    "kappa": "label_kappa",
}
"""Names of metrics.json, short enough to stand side by side, for names of summary.json."""


Summary = dict[str, str | int | float | None]
"""Numbers and names by stable names."""


@dataclass(frozen=True)
class Params:
    """How numbers are written.

    Attributes:
        digits: decimals of all that git holds: no more than machines agree on.
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
    traces: Mapping[str, int]
    label: Metrics
    study: Study
    power: Rows
    provenance: Mapping[str, str]


def run(params: Params, results: Results) -> Summary:
    """summary.json: flat, with stable names; unknown values are null."""
    study = results.study
    grades = {row.measure: row.rate.value for row in study.rows(Measure)}
    found: Summary = {name: grades.get(measure) for name, measure in GRADES.items()}
    found |= {
        "label_kappa": results.label.agreement.kappa,
        "label_f1_backtracking": results.label.agreement.f1,
        "span_coverage": results.label.span_coverage,
        "traces_n": sum(results.traces[f"n_{why}"] for why in ("stop", "length", "empty")),
        "traces_truncated_n": results.traces["n_length"],
        "traces_empty_n": results.traces["n_empty"],
    }
    found |= _directions(study) | _steering(study)
    found |= {"study_model": study.studied, "study_base": study.base}
    found |= {"study_dead": study.dead, "study_live": study.live}
    return rounded(found, params.digits)


def headlines(summary: Summary) -> Summary:
    """The numbers by which experiments are compared at a glance."""
    return {short: summary[name] for short, name in HEADLINES.items()}


def _directions(study: Study) -> Summary:
    """The place that is steered, and what its direction is worth and like."""
    place = {"form": "matched", "window": study.window, "layer": study.layer}
    own = first(study.rows(Strength), role=study.studied, **place)
    found: Summary = {
        "selection_layer": study.layer,
        "selection_window": study.window,
        "directions_split_half_cosine": own.split_half_cosine if own else None,
    }
    for row in study.rows(PairCosine):
        if all(getattr(row, key) == place[key] for key in place):
            found[f"directions_{row.pair.replace('-', '_')}_cosine"] = row.likeness.cosine
    return found


def _steering(study: Study) -> Summary:
    """The primary endpoint, and the probabilities that it is made of."""
    primary = first(study.rows(Evidence), claim="primary")
    found = primary.finding if primary else untestable("nothing was steered")
    edit = primary_edit(study)
    arm = ArmKey(study.studied, study.base, 1.0, "decision")
    elsewhere = first(study.rows(Elsewhere), arm=arm)
    forced = study.rows(Forced)
    return {
        **_p_backtrack(study, study.live, 1.0, edit),
        **_p_backtrack(study, study.dead, -1.0, edit),
        "steer_endpoint": next((row.endpoint for row in forced if row.arm.edit == edit), None),
        "steer_edit": edit,
        "steer_how": HOW[edit],
        "steer_agreement_elsewhere": elsewhere.agreement.value if elsewhere else None,
        "steer_primary_effect": found.estimate,
        "steer_primary_p": found.p,
        "steer_primary_holds": found.verdict == "holds",
        **summarize_draws(study.rows(Calibration), study.part(Frozen), study.studied, study.base),
    }


def primary_edit(study: Study) -> Edit:
    """The edit by which claims are judged: affine, or, where that was not run, adding."""
    is_affine = any(row.arm.edit == AFFINE for row in study.rows(Forced))
    return AFFINE if is_affine else "add"


def _p_backtrack(study: Study, kind: str, dose: float, edit: Edit) -> Summary:
    """P(backtrack) at one kind of decision: baseline, both directions, and the random bound."""
    rows = [row for row in decided(study, kind, edit) if row.arm.dose in (0, dose)]
    value = {row.arm.direction: row.level.value for row in rows}
    randoms = random_levels(rows)
    bound = float(random_bound(np.array(randoms), 1 if dose > 0 else -1)) if randoms else None
    name = p_backtrack_key(kind)
    return {
        f"{name}_baseline": value.get(BASELINE),
        f"{name}_own": value.get(study.studied),
        f"{name}_base": value.get(study.base),
        f"{name}_random95": bound,
    }


def tables(params: Params, results: Results) -> dict[str, Table]:
    """Rows and columns of every table, by file name."""
    found = {
        name: table_of(results.study.rows(file), without=RANDOM) for name, file in TABLES.items()
    }
    found |= {
        "loss": loss_table(results.losses, params.loss_every),
        "dose": dose_table(results.study),
        "decoding": decoding_table(results.study),
        "arms": table_of([*results.study.rows(Compared), *results.study.rows(Untested)]),
        "power": table_of(results.power),
    }
    return {
        name: (rounded(rows, params.digits), columns) for name, (rows, columns) in found.items()
    }


def read_results(workspace: Workspace, roles: Roles) -> Results:
    """All that the other stages wrote."""
    manifests = {role: read_manifest(workspace.activations(role)) for role in roles.all}
    written = artifacts.read_json(workspace.traces / "metrics.json")
    marker = read_tokens(workspace.labels / "tokens.json").marker
    pairs = {one: base for one, base in roles.base_by_role.items() if one not in roles.repeats}
    told = params.load(Told, "known", workspace.params)
    construction = built(open_domain(workspace.params), roles, pairs, told)
    return Results(
        losses={
            role: read_losses(workspace.model(role) / "training.csv")
            for role in roles.all
            if (workspace.model(role) / "training.csv").is_file()
        },
        traces={name: one for name, one in written.items() if isinstance(one, int)},
        label=reader.read_json(Metrics, workspace.labels / "metrics.json"),
        study=Study(
            base_by_role=pairs,
            classes=params.load(Classes, "contrast", workspace.params),
            kinds=read_kinds(workspace.labels / "kinds.json"),
            marker=marker.name if marker else "none",
            tables=Tables(workspace.root / "results"),
            false_by_role=construction.false,
        ),
        power=read_csv(workspace.results("power") / "power.csv"),
        provenance={"params_sha256": artifacts.sha256_json(params.read(workspace.params))}
        | {f"model_{role}_sha256": one.model_sha256 for role, one in manifests.items()}
        | {"device": manifests[roles.studied].check.device}
        | {f"version_{name}": version(name) for name in PACKAGES},
    )


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
    summary = run(params_, results)
    artifacts.write_json(folder / "summary.json", summary)
    artifacts.write_json(folder / "metrics.json", headlines(summary))
    artifacts.write_json(folder / "provenance.json", results.provenance)
    reader.write_json(folder / "claims.json", rounded(all_claims(results.study), params_.digits))
    for name, (rows, columns) in tables(params_, results).items():
        artifacts.write_csv(folder / "tables" / f"{name}.csv", rows, columns)
    track(workspace)


def track(workspace: Workspace) -> None:
    """Tells Weights & Biases, where that is wanted, of this stage and of every one before it."""
    if tracking.mode() == "off":
        return
    with tracking.harmless():
        recorded.log_stages(workspace.root, without=("summary", "report"))
        recorded.log_running(workspace.root, "summary", params.read(workspace.params))


if __name__ == "__main__":
    main()
