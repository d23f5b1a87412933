"""How fast the grid of probes is fitted beside scikit-learn's own solver, and in what memory.

Both fit the same standardised objective on the same synthetic cells, with the same penalties, in
interleaved rounds; cells are made one after the other, so memory is that of one cell and of what
the solver needs. scikit-learn fits some of the cells, and its time is scaled to all of them. Peak
memory of each solver is that of a process of its own.

    .venv/bin/python benchmarks/probe_grid.py           # half a minute on two cores
    .venv/bin/python benchmarks/probe_grid.py --full    # 24 layers x 40 offsets, d_model 4096
    .venv/bin/python benchmarks/probe_grid.py --full --layers 1 --rounds 3  # one layer: 5 minutes
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression

from backtracking.probing import logistic
from backtracking.probing.logistic import Search
from lifeboat.stage import artifacts

PENALTIES = (1e-3, 1e-2, 1e-1)
SMALL = {"layers": 4, "offsets": 5, "width": 512, "rows": 4000}
FULL = {"layers": 24, "offsets": 40, "width": 4096, "rows": 20_000}
SOLVERS = ("ours", "scikit-learn")


def make_cell(cell: int, rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in float32 with a few common directions, and a noisy label."""
    generator = torch.Generator().manual_seed(cell)
    features = torch.randn(1, rows, width, generator=generator)
    common = torch.randn(rows, 16, generator=generator)
    features[0].addmm_(common, torch.randn(16, width, generator=generator))
    labels = torch.rand(rows, generator=generator) < torch.sigmoid(common[:, 0])
    return features, labels.double()[None, :, None]


def fit_ours(features: torch.Tensor, labels: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Coefficients for every penalty, on standardised features."""
    n = len(PENALTIES)
    fits = logistic.fit(
        features,
        labels.expand(-1, -1, n),
        torch.ones_like(labels).expand(-1, -1, n),
        torch.tensor(PENALTIES, dtype=torch.float64),
        Search(tolerance),
    )
    scale = features[0].std(dim=0, correction=0).double()
    return fits.weight[0] * scale[:, None]


def fit_theirs(features: torch.Tensor, labels: torch.Tensor, tolerance: float) -> torch.Tensor:
    """The same by scikit-learn's L-BFGS, one penalty after the other."""
    wide = features[0].double()
    wide = ((wide - wide.mean(dim=0)) / wide.std(dim=0, correction=0)).numpy()
    found = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=1 / (penalty * len(wide)), tol=tolerance, max_iter=1000)
        found.append(torch.from_numpy(model.fit(wide, labels[0, :, 0].numpy()).coef_[0]))
    return torch.stack(found, dim=1)


def time_rounds(options: argparse.Namespace) -> tuple[list[dict[str, object]], float]:
    """Seconds of each solver in each round, and the largest relative difference of coefficients."""
    fit = {"ours": fit_ours, "scikit-learn": fit_theirs}
    rows, apart = [], 0.0
    for turn in range(options.rounds):
        features, labels = make_cell(turn, options.rows, options.width)
        row: dict[str, object] = {"round": turn + 1}
        found = {}
        for name in SOLVERS if turn % 2 else reversed(SOLVERS):
            start = time.perf_counter()
            found[name] = fit[name](features, labels, options.tolerance)
            row[name] = time.perf_counter() - start
        rows.append(row)
        largest = found["scikit-learn"].abs().max()
        difference = (found["ours"] - found["scikit-learn"]).abs().max()
        apart = max(apart, float(difference / largest))
        print(f"round {turn + 1} of {options.rounds}: {row}", file=sys.stderr, flush=True)
    return rows, apart


def run_grid(options: argparse.Namespace) -> float:
    """Seconds that ours takes for the whole grid, the making of the cells apart."""
    seconds = 0.0
    for cell in range(options.layers * options.offsets):
        features, labels = make_cell(cell, options.rows, options.width)
        start = time.perf_counter()
        fit_ours(features, labels, options.tolerance)
        seconds += time.perf_counter() - start
    return seconds


def peak_memory(options: argparse.Namespace, solver: str) -> float:
    """Peak resident megabytes of a process in which one solver fits two cells."""
    command = [sys.executable, __file__, "--only", solver, "--rows", str(options.rows)]
    command += ["--width", str(options.width), "--tolerance", str(options.tolerance)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fit_only(options: argparse.Namespace) -> None:
    """Two cells by one solver, and this process's peak memory on standard output."""
    fit = fit_ours if options.only == "ours" else fit_theirs
    for cell in range(2):
        fit(*make_cell(cell, options.rows, options.width), options.tolerance)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    """Times both solvers, prints the ratio and the memory, and files them beside this script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int)
    parser.add_argument("--offsets", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=SOLVERS)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    for name, size in (FULL if options.full else SMALL).items():
        if getattr(options, name) is None:
            setattr(options, name, size)
    torch.set_num_threads(options.threads)
    if options.only:
        fit_only(options)
        return
    # First: a child's peak is never below what its parent held when it was started.
    peaks = {f"peak_mb_{name}": peak_memory(options, name) for name in SOLVERS}
    rounds, apart = time_rounds(options)
    ratios = [float(str(row["scikit-learn"])) / float(str(row["ours"])) for row in rounds]
    cells = options.layers * options.offsets
    row = {
        "layers": options.layers,
        "offsets": options.offsets,
        "width": options.width,
        "rows": options.rows,
        "grid_seconds": run_grid(options),
        "theirs_over_ours": statistics.median(ratios),
        "low": min(ratios),
        "high": max(ratios),
        "coefficients_apart": apart,
        "cell_mb": 4 * options.rows * options.width / 2**20,
    } | peaks
    for name, value in row.items():
        print(f"{name:>20} {value:.4g}" if isinstance(value, float) else f"{name:>20} {value}")
    print(f"{cells} cells, {len(PENALTIES)} penalties each")
    size = f"{cells}-cells-{options.width}x{options.rows}"
    artifacts.write_csv(Path(__file__).parent / f"probe-grid-{size}.cpu.csv", [row], list(row))


if __name__ == "__main__":
    main()
