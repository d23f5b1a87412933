"""Are state models told apart? Fifty runs of each planted class, at the organism's size.

    PYTHONPATH=src python benchmarks/transitions_recovery.py [--runs 50] [--planted hmm slds]

Each run draws a new model of the class and new traces (as many as the default study has), fits
every class, and passes as `planted_models.recover` says. 45 of 50 are asked for. About 25 minutes
on one core.
"""

import argparse

import numpy as np
from planted_models import PLANTED, Recovery, Size, recover

from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions.em import Learning
from backtracking.transitions.registry import CLASSES, Grid

SIZE = Size(n_problems=240, n_samples=2, max_steps=90)
GRID = Grid((2, 3, 4), (2, 3), Learning())


def main() -> None:
    """Runs and prints one table row per planted class."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--planted", nargs="*", default=list(PLANTED), choices=PLANTED)
    options = parser.parse_args()
    n_runs = options.runs
    print("| planted | passes | own - oracle | " + " | ".join(CLASSES) + " |")
    print("|---|---|---|" + "---|" * len(CLASSES))
    for planted in options.planted:
        number = PLANTED.index(planted)
        runs = [
            recover(planted, SIZE, GRID, Bootstrap(500, 0.95, run),
                    np.random.default_rng([number, run]))
            for run in range(n_runs)
        ]  # fmt: skip
        print(row_of(planted, runs), flush=True)


def row_of(planted: str, runs: list[Recovery]) -> str:
    """Runs that pass, and by class the mean gap to the oracle with the share of runs beaten."""
    own = np.array([run.gap[planted] for run in runs])
    cells = []
    for name in CLASSES:
        gap = np.mean([run.gap[name] for run in runs])
        beaten = sum(run.beaten.get(name, False) for run in runs)
        cells.append(f"{gap:.4f}" + (f" ({beaten})" if name in runs[0].beaten else ""))
    passes = f"{sum(run.passes for run in runs)} of {len(runs)}"
    return f"| {planted} | {passes} | {own.mean():.4f}, at most {own.max():.4f} | " + (
        " | ".join(cells) + " |"
    )


if __name__ == "__main__":
    main()
