"""How large must a study be? The smallest effect that each size would find.

Reads: results/effects/steer/spread.json, which is absent where nothing could be steered
Writes: results/power/power.csv
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product, starmap

from backtracking.records import reader
from backtracking.records.decoding import INLINED
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


@dataclass(frozen=True)
class Sized:
    """What a study of a size would find; keys of the size stand beside the effect.

    Attributes:
        size: of the study.
        minimal_effect: the smallest primary effect that is found with the power wanted; None where
            no effect is.
    """

    size: Size = field(metadata=INLINED)
    minimal_effect: float | None


def run(params: Params, spread: Spread) -> list[Sized]:
    """One row per size: the smallest primary effect that is found with that power."""
    sizes = starmap(Size, product(params.n_problems, params.n_samples, params.n_random))
    return [Sized(size, minimal_effect(spread, size, params.seed, params.power)) for size in sizes]


def main(argv: Sequence[str] | None = None) -> None:
    """Sizes studies."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "power", workspace.params)
    path = workspace.results("effects") / "steer" / "spread.json"
    found = artifacts.read_json(path) if path.is_file() else None
    rows = run(params_, reader.decode(Spread, found, str(path))) if found else []
    with artifacts.new_folder(workspace.results("power")) as folder:
        artifacts.write_csv(folder / "power.csv", reader.encode(rows), COLUMNS)


if __name__ == "__main__":
    main()
