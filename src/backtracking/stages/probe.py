"""What do the activations around a decision tell that position, words and labels do not?

Penalties, baselines, layers and offsets are chosen on dev problems and written to selection.json;
the test problems are read once, after that.

Reads: models/*, data/{interim/traces,interim/activations/*,processed/sentences,raw/problems}
Writes: results/probe/{selection,grid,earliest,baselines,windows,shuffled,ceiling}.json, grid.csv
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.posteriors import read_decisions
from backtracking.domains.organism.states import words_of
from backtracking.domains.organism.world import read_prompt
from backtracking.domains.organism.writer import p_backtracks
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.probing.checks import (
    Cell,
    compare_orders,
    find_earliest,
    require_no_leak,
    shuffle_labels,
)
from backtracking.probing.grid import Place, fit_baselines, fit_grid, select, tabulate_baselines
from backtracking.probing.measures import measure
from backtracking.probing.points import DecisionPoints, gather_points
from backtracking.probing.probes import Fitting, Probes
from backtracking.records import traces
from backtracking.records.moments import read_moments
from backtracking.records.traces import Problem, Sentence, Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Roles, Workspace
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts

COLUMNS = [
    "role", "anchor", "target", "pairs", "layer", "offset", "auroc", "low", "high", "baseline",
    "baseline_auroc", "difference", "difference_low", "difference_high", "band_low", "band_high",
    "posterior", "n_rows", "n",
]  # fmt: skip


@dataclass(frozen=True)
class Params:
    """The grid, and how its probes are fitted.

    Attributes:
        windows: first and last offset, both included, from the first token of a `comparison` and
            from t*, where P(dead | prefix) is `known`.
        ordered_window: tokens, from a comparison's first, that one probe reads together.
        fitting: penalties and tolerance.
        n_shuffles: label shuffles of each model and target.
        seed: of the shuffles of tokens and labels.
        n_threads: fits at once.
    """

    windows: dict[str, tuple[int, int]]
    ordered_window: tuple[int, int]
    fitting: Fitting
    n_shuffles: int
    seed: int
    n_threads: int

    def __post_init__(self) -> None:
        if set(self.windows) != {"comparison", "known"}:
            raise ValueError(f"windows are `comparison` and `known`, found {sorted(self.windows)}.")
        if any(first > last for first, last in (*self.windows.values(), self.ordered_window)):
            raise ValueError("a window is [first, last] with first <= last.")
        if min(self.n_shuffles, self.n_threads) < 1:
            raise ValueError("n_shuffles and n_threads must be 1 or more.")


@dataclass(frozen=True)
class Inputs:
    """What probes read.

    Attributes:
        points: the decisions.
        store_by_role: activations of each model.
        embedding_by_role: its token embeddings.
        p_writer: P(backtracking | prefix up to the decision) under the model that wrote the
            traces; NaN where it is not needed.
    """

    points: DecisionPoints
    store_by_role: Mapping[str, ActivationStore]
    embedding_by_role: Mapping[str, Float[Tensor, "d_vocab d_model"]]
    p_writer: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Chosen:
    """Fitted probes and baselines by place, and the record of all that was chosen on dev."""

    fitted: Mapping[Place, Probes]
    selection: dict[str, Any]


def choose(params: Params, inputs: Inputs) -> Chosen:
    """Everything that is fitted on train and chosen on dev problems."""
    points, fitting = inputs.points, params.fitting
    probes = fit_grid(points, inputs.store_by_role, fitting, params.n_threads)
    baselines = fit_baselines(points, inputs.embedding_by_role, fitting, params.n_threads)
    return Chosen(probes | baselines, select(points, probes, baselines))


def run(params: Params, bootstrap: Bootstrap, inputs: Inputs, chosen: Chosen) -> dict[str, Any]:
    """All results on test problems by file name."""
    points = inputs.points
    rows, excesses = measure(
        points,
        inputs.store_by_role,
        inputs.embedding_by_role,
        inputs.p_writer,
        chosen.fitted,
        bootstrap,
        params.n_threads,
    )
    ceiling = require_no_leak(excesses, bootstrap.level)
    windows, shuffled = check(params, bootstrap.level, inputs, chosen.selection)
    return {
        "grid": rows,
        "earliest": find_earliest(rows, {one.name: one.last for one in points.anchors}),
        "baselines": tabulate_baselines(points, chosen.fitted),
        "windows": windows,
        "shuffled": shuffled,
        "ceiling": ceiling,
    }


def check(
    params: Params, level: float, inputs: Inputs, selection: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Ordered against permuted windows, and shuffled labels, at each best cell."""
    cells = best_cells(inputs.points, selection)
    seeds = np.random.SeedSequence(params.seed).spawn(len(cells))

    def check_one(
        job: tuple[Cell, np.random.SeedSequence],
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        both = (inputs.points, inputs.store_by_role[job[0].role], job[0])
        its = (params.fitting, level, np.random.default_rng(job[1]))
        return (
            compare_orders(*both, params.ordered_window, *its),
            shuffle_labels(*both, params.n_shuffles, *its),
        )

    with ThreadPoolExecutor(params.n_threads) as pool:
        found = list(pool.map(check_one, zip(cells, seeds, strict=True)))
    return [one for one, _ in found], [one for _, one in found]


def best_cells(points: DecisionPoints, selection: Mapping[str, Any]) -> list[Cell]:
    """The cell of each model and target that was chosen on dev, at offsets from the comparison."""
    task_by_target = {task.target: task for task in points.tasks}
    return [
        Cell(
            row["role"], task_by_target[row["target"]], row["layer"], row["offset"], row["penalty"]
        )
        for row in selection["best"]
        if row["anchor"] == "comparison"
    ]


def embedding(loaded: LoadedModel) -> Float[Tensor, "d_vocab d_model"]:
    """A model's token embeddings."""
    weight = loaded.model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def main(argv: Sequence[str] | None = None) -> None:
    """Probes."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "probe", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    roles = params.load(Roles, "models", workspace.params)
    prepare_torch(1)
    model_by_role = {role: loading.load(workspace.model(role)) for role in roles.all}
    inputs = _gather(workspace, params_, model_by_role)
    chosen = choose(params_, inputs)
    with artifacts.new_folder(workspace.results("probe")) as folder:
        artifacts.write_json(folder / "selection.json", chosen.selection)
        result = run(params_, bootstrap, inputs, chosen)
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
        artifacts.write_csv(folder / "grid.csv", result["grid"], COLUMNS)
    print(result["ceiling"])


def _gather(
    workspace: Workspace, params_: Params, model_by_role: Mapping[str, LoadedModel]
) -> Inputs:
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = read_moments(
        written, traces.read(Sentence, workspace.sentences / "sentences.jsonl")
    )
    asked = traces.read(Problem, workspace.problems / "problems.jsonl")
    prompt_by_id = {problem.problem_id: problem.prompt for problem in asked}
    tokenizer = Tokenizer.from_file(str(workspace.model("reasoning") / "tokenizer.json"))
    decisions = [
        read_decisions(
            words_of(trace, tokenizer),
            *read_prompt(prompt_by_id[trace.problem_id]),
        )
        for trace in written
    ]
    points = gather_points(written, sentences, decisions, params_.windows)
    is_test = points.moments.split == "test"
    p_writer = np.full(len(points.moments), np.nan)
    p_writer[is_test] = p_backtracks(model_by_role["reasoning"], written, points.moments[is_test])
    return Inputs(
        points,
        {role: ActivationStore(workspace.activations(role)) for role in model_by_role},
        {role: embedding(loaded) for role, loaded in model_by_role.items()},
        p_writer,
    )


if __name__ == "__main__":
    main()
