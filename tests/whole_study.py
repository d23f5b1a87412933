"""Every stage of dvc.yaml in one process, in an order in which each finds what it reads."""

from importlib import import_module
from pathlib import Path

from backtracking.runtime import params
from backtracking.runtime.workspace import Roles

BEFORE = ("problems", "weights", "traces", "label", "grade", "extract", "stability", "directions")
AFTER = ("probe", "lens", "steer", "ablate", "belief", "transitions", "effects", "power", "summary")
BY_ROLE = ("weights", "extract")


def run_all(root: Path) -> None:
    """Every stage's main on the parameters of a workspace, `smoke` left out."""
    roles = params.load(Roles, "models", root / "params.yaml")
    for stage in (*BEFORE, *AFTER):
        main = import_module(f"backtracking.stages.{stage}").main
        for role in roles.all if stage in BY_ROLE else ("",):
            main(["--root", str(root), *filter(None, [role])])
