"""Scoring a file of directions on the outs of the stages `belief` and `effects`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backtracking.belief import files
from backtracking.belief.measure import Subject, measure, with_action
from backtracking.belief.plan import Plan, Points
from backtracking.effects.belief.tables import tabulate_betas
from backtracking.effects.belief.trial import Trial
from backtracking.models import loading
from backtracking.records import reader
from backtracking.records.directions import Direction, read_directions
from backtracking.records.pairs import read_pairs
from backtracking.records.places import Place
from backtracking.records.rows.belief import Beta, Null, Selection
from backtracking.records.rows.table import read_rows
from backtracking.records.sentences import read_kinds
from backtracking.records.tokens import read_tokens
from backtracking.runtime import params
from backtracking.runtime.forks import Cores, run_side_by_side
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Section(Plan):
    """Section `belief` of params.yaml."""

    cores: Cores


@dataclass(frozen=True)
class Scores:
    """Scores of every vector of a file, and those of the shipped baselines at the same layers."""

    scores: list[Beta]
    baselines: list[Beta]


def score_file(root: Path, file: Path, layer: int | None) -> Scores:
    """Scores of a file.

    Args:
        root: the project's folder.
        file: see `files.read_candidates`.
        layer: only what is at this layer; by default that which `steer` chose, for vectors that
            name none.

    Raises:
        UserError: for a file that cannot be scored, or where the stage's outs are missing or hold
            no minimal pairs.
    """
    workspace = Workspace(root)
    results = workspace.root / "results"
    section = params.load(Section, "belief", workspace.params)
    role = params.load(Roles, "models", workspace.params).studied
    section.cores.begin()
    chosen = reader.read_json(Selection, workspace.results("belief") / "selection.json")
    points = _read_points(workspace)
    dtype = params.load_value(str, "loading.dtype", workspace.params)
    loaded = loading.load(workspace.model(role), device=section.cores.device, dtype=dtype)
    candidates = files.read_candidates(file, loaded.d_model, loaded.n_layers, chosen.layer, layer)
    place = Place(role, "action")
    action = Direction(place, read_directions(workspace.results("directions")).get(place))
    subject = Subject(role, loaded, with_action(candidates, action))
    run = partial(run_side_by_side, n_at_once=1, description="scoring")
    (asked,) = measure(section, [subject], points, run)
    trial = Trial.of(asked.measured, points.pairs, asked.doses, asked.n_layers, points.sign)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    rows = tabulate_betas(trial, read_rows(Null, results), bootstrap)
    names = {(one.name, one.layer) for one in candidates}
    layers = {one.layer for one in candidates}
    return Scores(
        [row for row in rows if (row.direction, row.layer) in names],
        [row for row in read_rows(Beta, results) if row.role == role and row.layer in layers],
    )


def _read_points(workspace: Workspace) -> Points:
    path = workspace.results("belief") / "pairs.jsonl"
    points = Points(
        read_pairs(path) or [],
        read_kinds(workspace.labels / "kinds.json"),
        read_tokens(workspace.labels / "tokens.json"),
    )
    if points.reason:
        raise UserError(
            f"Nothing can be scored on {path}: {points.reason}.",
            "Score on a study whose domain makes pairs, after `dvc --wait-for-lock repro effects`.",
        )
    return points
