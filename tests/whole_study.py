"""Every stage of dvc.yaml in one process, in an order in which each finds what it reads."""

from importlib import import_module
from pathlib import Path
from typing import Any

from backtracking.runtime import params
from backtracking.runtime.workspace import Roles

BEFORE = ("problems", "weights", "traces", "label", "grade", "extract", "stability", "directions")
AFTER = (
    "probe",
    "lens",
    "steer",
    "ablate",
    "belief",
    "transitions",
    "effects",
    "power",
    "summary",
    "report",
)
BY_ROLE = ("weights", "extract")

N_PROBLEMS = 12
SMALL: dict[str, Any] = {
    "problems": {"n_study": N_PROBLEMS, "split_shares": [0.5, 0.25, 0.25]},
    "traces": {"n_samples": 1, "max_new_tokens": 24, "batch_size": 8, "n_batch_checks": 2},
    "extract": {"layers": [0, 1], "tokens_per_batch": 4096},
    "stability": {"n_regenerations": 2, "max_new_tokens": 8, "batch_size": 32},
    "directions": {"n_strata": 1, "n_splits": 2, "n_null": 1},
    "steer": {
        "doses": [-1.0, 1.0],
        "max_new_tokens": 12,
        "n_random": 2,
        "n_few_random": 1,
        "n_free_random": 1,
        "n_null": 2,
        "n_retrained": 1,
        "n_reports": 2,
        "drawn": {"n": 2, "max_new_tokens": 8, "n_null": 1, "n_texts": 1, "per_trace": 1},
    },
    "lens": {"n_null": 2, "n_tokens": 2},
    "ablate": {"n_problems": 1, "max_new_tokens": 12},
    "transitions": {"ridges": [0.1]},
    "belief": {"n_items": 4, "n_dev_items": 2, "n_random": 2},
}
"""What makes an overlay for real models small, whatever its models are."""


def run_all(root: Path) -> None:
    """Every stage's main on the parameters of a workspace, `smoke` left out."""
    run(root, *BEFORE, *AFTER)


def run(root: Path, *stages: str) -> None:
    """Stages, one after the other, for every role where there is one of each."""
    roles = params.load(Roles, "models", root / "params.yaml")
    for stage in stages:
        for role in roles.all if stage in BY_ROLE else ("",):
            run_one(root, stage, role)


def run_one(root: Path, stage: str, role: str) -> None:
    """A stage, of a role where it takes one."""
    import_module(f"backtracking.stages.{stage}").main(["--root", str(root), *filter(None, [role])])
