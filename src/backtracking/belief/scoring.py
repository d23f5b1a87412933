"""Scoring a file of directions on the outs of the stage `belief`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from backtracking.belief import files
from backtracking.belief.benchmark import Benchmark, score, with_action
from backtracking.belief.doses import Direction
from backtracking.belief.measure import Plan
from backtracking.models import loading
from backtracking.runtime import params
from backtracking.runtime.forks import Cores
from backtracking.runtime.workspace import Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

ROLE = "reasoning"


@dataclass(frozen=True)
class Section(Plan):
    """Section `belief` of params.yaml."""

    cores: Cores


def score_file(root: Path, file: Path, layer: int | None) -> dict[str, Any]:
    """Scores of every vector of a file, and those of the shipped baselines at the same layers.

    Args:
        root: the project's folder.
        file: see `files.read_directions`.
        layer: only what is at this layer; by default that which `steer` chose, for vectors that
            name none.

    Raises:
        UserError: for a file that cannot be scored, or where the stage's outs are missing.
    """
    workspace = Workspace(root)
    outs = workspace.results("belief")
    section = params.load(Section, "belief", workspace.params)
    section.cores.begin()
    chosen = artifacts.read_json(outs / "selection.json")
    loaded = loading.load(workspace.model(ROLE), device=section.cores.device)
    directions = files.read_directions(
        file, loaded.d_model, loaded.n_layers, chosen["layer"], layer
    )
    source = workspace.results("directions") / "directions.safetensors"
    action = safetensors.torch.load_file(source)[f"{ROLE}.action"]
    null = {
        (row["layer"], row["span"]): tuple(row["effects"])
        for row in artifacts.read_json(outs / "null.json")
    }
    scored = score(
        section,
        params.load(Bootstrap, "statistics", workspace.params),
        Benchmark(loaded, ROLE, files.read_items(outs / "donors.jsonl")),
        with_action(directions, Direction("action", 0, action)),
        null=null,
    )
    names = {(one.name, one.layer) for one in directions}
    layers = {one.layer for one in directions}
    baselines = artifacts.read_json(outs / "benchmark.json")
    return {
        "scores": [row for row in scored.rows if (row["direction"], row["layer"]) in names],
        "baselines": [row for row in baselines if row["layer"] in layers],
    }
