"""A workspace with all that `steer` reads: untrained models, and directions that are drawn."""

from pathlib import Path
from typing import Any

import torch
from tiny_study import D_MODEL, N_LAYERS, PAIR_AND_CONTROL, TinyStudy, write_workspace

from backtracking.records.directions import Direction, write_directions
from backtracking.records.places import Place, window_text
from backtracking.runtime.workspace import Role, Workspace
from backtracking.stages import extract
from lifeboat.stage import artifacts

WINDOWS = ((0, 0), (-3, -3))
FORMS = ("unmarked", "keyword", "stable")
PLAN = {
    "doses": [-1.0, 1.0], "n_random": 3, "n_few_random": 2, "n_free_random": 1, "n_null": 3,
    "n_null_back": 1, "n_retrained": 2, "n_reports": 4, "max_new_tokens": 20, "min_agreement": 0.0,
    "min_legal": 0.0,
}  # fmt: skip


def write_steered(
    root: Path,
    study: TinyStudy,
    roles: dict[str, Role] = PAIR_AND_CONTROL,
    overlay: dict[str, Any] | None = None,
) -> Workspace:
    """The workspace, on small settings of `steer`."""
    workspace = write_workspace(root, study, roles, overlay={"steer": PLAN} | (overlay or {}))
    draw_directions(workspace, list(roles))
    for role in roles:
        extract.main(["--root", str(root), role])
    return workspace


def draw_directions(workspace: Workspace, roles: list[str]) -> None:
    """Matched directions of every role at all layers, and everything else of the pair."""
    layers = range(N_LAYERS)
    places = [Place(role, "matched", w, n) for role in roles for w in WINDOWS for n in layers]
    places += [Place(role, "action") for role in roles]
    for role in roles[:2]:
        places += [Place(role, form, w, n) for form in FORMS for w in WINDOWS for n in layers]
        places += [Place(role, "ward", (-13, -8), layer) for layer in layers]
    studied = roles[1]
    places += [Place(studied, "mean", (-1, 10), layer) for layer in layers]
    places += [Place(studied, "state", (-1, 10), n, state="deduction") for n in layers]
    places += [
        Place(studied, "null", w, n, number=k) for k in range(3) for w in WINDOWS for n in layers
    ]
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(len(places), D_MODEL, generator=generator)
    with artifacts.new_folder(workspace.results("directions")) as folder:
        write_directions(folder, map(Direction, places, vectors))
        rows = [
            {"role": role, "layer": layer, "form": "matched", "window": window_text(window)}
            | {"mean_residual_norm": 2.0 + number}
            for role in roles
            for layer in layers
            for number, window in enumerate(WINDOWS)
        ]
        artifacts.write_json(folder / "directions.json", rows)
