"""Which state model describes a trace, and what do activations add to what the text says?

Layer, smoothing, numbers of states and penalties are chosen on dev problems, before test is read.
Models that are learnt by EM, rungs of the ladder and what a model itself says next are kept as
units.

Reads: models/<the one under study>, data/{interim/traces,processed/labels},
    data/interim/activations/* of the pair under study and of the control pairs' models
Writes: results/transitions/{models,forecasts,variance,ladder,representation,selection}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.records import reader
from backtracking.records.rounding import rounded
from backtracking.records.rows.table import Row, Tables, write_rows
from backtracking.records.rows.transitions import (
    Forecast,
    Representation,
    Rung,
    Selection,
    StateModel,
    VarianceShare,
)
from backtracking.records.tokens import Tokens
from backtracking.records.traces import SPLITS
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.forks import run_side_by_side
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import known, study
from backtracking.transitions.corpus import Corpus, make_corpus
from backtracking.transitions.plan import K, Plan, R, Work
from backtracking.transitions.registry import Fit
from backtracking.transitions.representation import representation_rows
from backtracking.transitions.rungs import climb
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/transitions"
TABLES = (StateModel, Forecast, VarianceShare, Rung, Representation)

DIGITS = 4
"""Decimals of all numbers: the fits behind them have converged to less than that."""


@dataclass(frozen=True)
class Params(Plan):
    """The plan, and where it runs.

    Attributes:
        n_processes: parts of the work at a time, each on one thread.
    """

    n_processes: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_processes < 1:
            raise ValueError(f"n_processes {self.n_processes} must be 1 or more.")


@dataclass(frozen=True)
class SideBySide:
    """Jobs in processes of their own, each a unit of the stage's out."""

    units: Units
    n_processes: int

    def __call__(self, jobs: Mapping[K, Callable[[], R]], what: str) -> dict[K, R]:
        """What each job returns, by its name; jobs with one key, which do the same, are done once.

        A control that shares its weights with the model under study gives such jobs.
        """
        kept_by_name = {name: kept(self.units, OUT, job) for name, job in jobs.items()}
        made = {one.key: one for one in kept_by_name.values()}
        found = run_side_by_side(list(made.values()), self.n_processes, what)
        result_by_key = dict(zip(made, found, strict=True))
        return {name: result_by_key[one.key] for name, one in kept_by_name.items()}


def run(
    params: Params,
    bootstrap: Bootstrap,
    corpus: Corpus,
    store_by_role: Mapping[str, ActivationStore],
    loaded: LoadedModel,
    tokens: Tokens,
    work: Work,
) -> Tables:
    """All results of the stage.

    Args:
        params: the plan.
        bootstrap: intervals by problem.
        corpus: the traces.
        store_by_role: activations, those of the model under study first.
        loaded: the model under study.
        tokens: the words of the study.
        work: does the jobs.
    """
    role = next(iter(store_by_role))
    place = study.choose_place(params, corpus, store_by_role[role], work)
    parts_by_role = study.read_parts(params, corpus, store_by_role, place.layer)
    test = parts_by_role[role].test
    chosen = study.fit_all(params, parts_by_role, work)
    loss_by_model = study.losses_on_test(chosen, parts_by_role)
    law = known.by_law(corpus)
    further = {
        Fit(role, "next_token"): known.by_the_model(corpus, loaded, tokens, work),
        Fit("writer", "law"): law[0] if law else None,
    }
    loss_by_model |= {fit: loss for fit, loss in further.items() if loss is not None}
    settings = {f"{fit.role or 'labels'}/{fit.name}": one.setting for fit, one in chosen.items()}
    found: list[Row] = [
        *study.score_models(params, chosen, loss_by_model, test, bootstrap),
        *climb(params, corpus, store_by_role, place.layer, work, bootstrap),
        *representation_rows(corpus, store_by_role, place.layer, bootstrap),
        Selection(
            "dev", place.layer, params.rank, place.grid,
            settings | ({"writer/law": law[1]} if law else {}),
        ),
    ]  # fmt: skip
    for one, store in store_by_role.items():
        found += study.score_forecasts(chosen, parts_by_role[one], one, bootstrap)
        found += study.variance_rows(corpus, store, place.layer, one)
    return Tables.of(_digits(row) for row in found)


def _digits(row: Row) -> Row:
    """A row as it is written; penalties are of a grid and stay as they are."""
    found = rounded(row, DIGITS)
    return replace(found, ridge=row.ridge) if isinstance(row, Rung) else found


def write(result: Tables, out: Path) -> None:
    """Writes all results, a file each."""
    for table in TABLES:
        write_rows(table, result.rows(table), out)
    reader.write_json(out / "selection.json", result.record(Selection))


def main(argv: Sequence[str] | None = None) -> None:
    """Fits and compares the state models."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    opened = Study(workspace)
    params_ = params.load(Params, "transitions", workspace.params)
    work = SideBySide(opened.units, params_.n_processes)
    prepare_torch(1)
    roles = opened.roles
    corpus, result = make_corpus(opened.traces, opened.sentences, opened.laws), Tables.of([])
    if set(SPLITS) <= set(corpus.split):  # else there is nothing to fit, choose or judge by
        # Matrices are too small to be shared out, so models are fitted side by side instead.
        with threadpool_limits(1):
            result = run(
                params_,
                params.load(Bootstrap, "statistics", workspace.params),
                corpus,
                {role: opened.store(role) for role in (roles.studied, roles.base, *roles.controls)},
                opened.models([roles.studied])[roles.studied],
                opened.tokens,
                work,
            )
    with artifacts.new_folder(workspace.results("transitions")) as folder:
        write(result, folder)
    for row in result.rows(StateModel):
        print(f"{row.role}/{row.class_}: {row.score.nll.value} nats a sentence")


if __name__ == "__main__":
    main()
