"""What do the activations around a decision tell that position, words and labels do not?

Penalties, baselines, layers and offsets are chosen on dev problems and written to selection.json;
the test problems are read once, after that, at the cells that were chosen.

Reads: models/*, data/{interim/traces,interim/activations/*,processed/labels}
Writes: results/probe/{selection,cells,within,ceiling}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from torch import Tensor

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.models.turning import Prefixes, p_turns
from backtracking.probing.baselines import baseline_jobs
from backtracking.probing.grid import grid_jobs, select
from backtracking.probing.measures import measure, read_cell, require_no_leak
from backtracking.probing.points import DecisionPoints, gather_points
from backtracking.probing.probes import DIGITS, Fitting, Probes, Series
from backtracking.records import reader
from backtracking.records.rounding import rounded
from backtracking.records.rows.probe import Ceiling, Probed, ProbeSelection, Within
from backtracking.records.rows.table import write_rows
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.forks import run_side_by_side
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.statistics.bootstrap import Bootstrap
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/probe"
TRACES_PER_UNIT = 16

R = TypeVar("R")


@dataclass(frozen=True)
class Params:
    """The grid, and how its probes are fitted.

    Attributes:
        window: first and last offset from the deciding token, both included.
        fitting: penalties and tolerance.
        n_processes: parts of the work at a time, each on one thread.
    """

    window: tuple[int, int]
    fitting: Fitting
    n_processes: int

    def __post_init__(self) -> None:
        first, last = self.window
        if not first <= last <= 0:
            raise ValueError(
                f"`window` is [first, last] with first <= last <= 0, found [{first}, {last}]: "
                "behind the deciding token stands the event itself."
            )
        if self.n_processes < 1:
            raise ValueError(f"n_processes {self.n_processes} must be 1 or more.")


@dataclass(frozen=True)
class Inputs:
    """What probes read.

    Attributes:
        points: the decisions.
        store_by_role: activations of each model.
        embedding_by_role: its token embeddings.
        p_writer: P(the action turns | prefix up to the decision) under the model that wrote the
            traces; NaN where it is not needed.
    """

    points: DecisionPoints
    store_by_role: Mapping[str, ActivationStore]
    embedding_by_role: Mapping[str, Float[Tensor, "d_vocab d_model"]]
    p_writer: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Chosen:
    """Fitted probes and baselines, and the record of all that was chosen on dev."""

    fitted: Mapping[Series, Probes]
    selection: ProbeSelection


@dataclass(frozen=True)
class Result:
    """What the test problems say.

    Attributes:
        cells: the best cell of each role and target.
        within: what the action's probes tell within each kind.
        ceiling: that no cell tells too much.
    """

    cells: list[Probed]
    within: list[Within]
    ceiling: Ceiling


def choose(params: Params, inputs: Inputs, units: Units) -> Chosen:
    """Everything that is fitted on train and chosen on dev problems."""
    points, fitting = inputs.points, params.fitting
    jobs = grid_jobs(points, inputs.store_by_role, fitting)
    jobs += baseline_jobs(points, inputs.embedding_by_role, fitting)
    found = _kept(jobs, units, params.n_processes, "probes are fitted")
    fitted = {series: probes for its in found for series, probes in its}
    return Chosen(fitted, select(points, fitted, fitting))


def run(bootstrap: Bootstrap, inputs: Inputs, chosen: Chosen) -> Result:
    """All results on test problems.

    Raises:
        UserError: where a probe tells more than its prefix holds.
    """
    measured = []
    for choice in chosen.selection.best:
        probes = chosen.fitted[Series(choice.role, choice.target, choice.layer)]
        cell = read_cell(inputs.points, inputs.store_by_role[choice.role], choice, probes)
        embedding = inputs.embedding_by_role[choice.role]
        measured.append(
            measure(inputs.points, cell, embedding, inputs.p_writer, chosen.fitted, bootstrap)
        )
    return Result(
        rounded([one.row for one in measured], DIGITS),
        rounded([row for one in measured for row in one.within], DIGITS),
        rounded(require_no_leak(measured, bootstrap.level), DIGITS),
    )


def _kept(
    jobs: Sequence[Callable[[], R]], units: Units, n_processes: int, description: str
) -> list[R]:
    return run_side_by_side([kept(units, OUT, job) for job in jobs], n_processes, description)


def main(argv: Sequence[str] | None = None) -> None:
    """Probes."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    study = Study(workspace)
    units = study.units
    params_ = params.load(Params, "probe", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    prepare_torch(1)
    inputs = _gather(study, params_)
    chosen = choose(params_, inputs, units)
    with artifacts.new_folder(workspace.results("probe")) as folder:
        reader.write_json(folder / "selection.json", chosen.selection)
        result = run(bootstrap, inputs, chosen)
        write_rows(Probed, result.cells, folder)
        write_rows(Within, result.within, folder)
        reader.write_json(folder / "ceiling.json", result.ceiling)
    for row in result.cells:
        choice, auroc = row.choice, row.auroc.value
        print(
            f"{choice.role}, {choice.target}: layer {choice.layer}, offset {choice.offset}: {auroc}"
        )


def _gather(study: Study, params_: Params) -> Inputs:
    """The study's records, and its models but for those of further pairs."""
    roles = [role for role in study.roles.all if study.roles.roles[role].repeats is None]
    model_by_role = study.models(roles)
    points = gather_points(
        study.traces,
        study.sentences,
        study.decisions,
        study.posteriors,
        study.classes,
        params_.window,
    )
    writer = model_by_role[study.roles.studied]
    return Inputs(
        points,
        {role: study.store(role) for role in roles},
        {role: _embedding(loaded) for role, loaded in model_by_role.items()},
        _p_writer(study, writer, points, params_.n_processes),
    )


def _embedding(loaded: LoadedModel) -> Float[Tensor, "d_vocab d_model"]:
    """A model's token embeddings."""
    weight = loaded.model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    return weight.detach()


def _p_writer(
    study: Study, writer: LoadedModel, points: DecisionPoints, n_processes: int
) -> Float[np.ndarray, " n"]:
    """The writer's own probability at test decisions, where its traces have a known law."""
    decisions, tokens = points.decisions, study.tokens
    found = np.full(len(decisions), np.nan)
    if study.posteriors is None:
        return found
    rows = [
        np.flatnonzero(decisions.trace == trace)
        for trace in np.unique(decisions.trace[decisions.split == "test"])
    ]
    prefixes = [
        Prefixes(study.traces[decisions.trace[one[0]]].ids, decisions.end[one]) for one in rows
    ]
    jobs = [
        partial(
            p_turns,
            writer,
            prefixes[first : first + TRACES_PER_UNIT],
            tokens.openers,
            tokens.asides,
        )
        for first in range(0, len(prefixes), TRACES_PER_UNIT)
    ]
    parts = _kept(jobs, study.units, n_processes, "the writer reads its traces")
    for its, p in zip(rows, (p for part in parts for p in part), strict=True):
        found[its] = p
    return found


if __name__ == "__main__":
    main()
