"""How large must a study be? The smallest effect that each size would find.

Reads: results/effects/steer/spread.json
Writes: results/power/power.csv
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.workspace import Workspace
from backtracking.statistics.power import Size, minimal_effect
from backtracking.statistics.spread import Spread
from lifeboat.stage import artifacts

COLUMNS = ["n_problems", "n_samples", "n_random", "minimal_effect"]


@dataclass(frozen=True)
class Params:
    """Which studies are sized.

    Attributes:
        n_problems, n_samples, n_random: sizes, every combination of which is one row.
        power: probability with which the effect is to be found.
        seed: of the simulated studies.
    """

    n_problems: tuple[int, ...]
    n_samples: tuple[int, ...]
    n_random: tuple[int, ...]
    power: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.power < 1:
            raise ValueError(f"`power` must be between 0 and 1, found {self.power}.")
        if min(*self.n_problems, *self.n_samples, *self.n_random) < 1 or min(self.n_problems) < 2:
            raise ValueError("sizes must be 1 or more, and n_problems 2 or more.")


def run(params: Params, spread: Spread) -> list[dict[str, Any]]:
    """One row per size: the smallest primary effect that is found with that power."""
    sizes = product(params.n_problems, params.n_samples, params.n_random)
    return [
        asdict(size) | {"minimal_effect": minimal_effect(spread, size, params.seed, params.power)}
        for size in (Size(*one) for one in sizes)
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Sizes studies."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "power", workspace.params)
    found = artifacts.read_json(workspace.results("effects") / "steer" / "spread.json")
    rows = run(params_, Spread(**found)) if found else []
    with artifacts.new_folder(workspace.results("power")) as folder:
        artifacts.write_csv(folder / "power.csv", rows, COLUMNS)


if __name__ == "__main__":
    main()
