"""Which state model describes a trace, and what do activations add to what the text says?

Layer, smoothing, numbers of states and penalties are chosen on dev problems, before test is read.
Models that are learnt by EM, rungs of the ladder and what a model itself says next are kept as
units.

Reads: models/<the one under study>, data/{interim/traces,processed/labels},
    data/interim/activations/* of the pair under study and of the control pairs' models
Writes: results/transitions/{models,densities,variance,ladder,positions,matrix,steps,dwell,order,
    entropy_rate,noise,latents,representation,selection}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
from backtracking.records import reader
from backtracking.records.rows.table import Row, Tables, write_rows
from backtracking.records.rows.transitions import (
    Cut,
    Density,
    Dwell,
    EntropyRate,
    Latent,
    Noise,
    Order,
    Representation,
    Rung,
    Selection,
    StateModel,
    Steps,
    Transition,
    VarianceShare,
)
from backtracking.records.tokens import Tokens
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.forks import run_side_by_side
from backtracking.runtime.workspace import Workspace
from backtracking.stages.study import Study
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import climbing, dial, memory, order_tests, study
from backtracking.transitions.climbing import Ladder
from backtracking.transitions.corpus import Corpus, make_corpus
from backtracking.transitions.matrix import steps_to, transition_rows
from backtracking.transitions.plan import K, Plan, R, Work
from backtracking.transitions.registry import Chosen, Fit
from backtracking.transitions.sequences import LABELS
from backtracking.transitions.sharing import representation_rows
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/transitions"
TABLES = (
    StateModel, Density, VarianceShare, Rung, Cut, Transition, Steps, Dwell, Order, Noise, Latent,
    Representation,
)  # fmt: skip


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
        """What each job returns, by its name."""
        made = [kept(self.units, OUT, job) for job in jobs.values()]
        return dict(zip(jobs, run_side_by_side(made, self.n_processes, what), strict=True))


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
    parts = parts_by_role[role]
    chosen = study.fit_all(params, parts_by_role, work)
    loss_by_model = study.losses_on_test(chosen, parts_by_role)
    ladders = climbing.climb_everywhere(params, corpus, store_by_role, place.layer, work)
    floor = climbing.floor(params, corpus, ladders["end"].rows)
    further = {"end": _further(corpus, ladders["end"], floor, loaded, tokens, work)}
    laws = None if corpus.laws is None else corpus.laws[corpus.scored_rows("test")]
    seed, n_draws = params.seed, params.n_draws
    found: list[Row] = [
        *study.score_models(loss_by_model, parts.test, bootstrap),
        *transition_rows(parts.test, params.n_shuffles, bootstrap, seed),
        *steps_to(parts.test, LABELS.index("final-answer"), bootstrap),
        *order_tests.dwell_rows(parts.test, bootstrap, n_draws, seed),
        *memory.order_rows(parts.test, loss_by_model, bootstrap, n_draws, seed),
        memory.entropy_rate(laws, loss_by_model, parts.test, bootstrap),
        *dial.turn(params, (parts.train, parts.dev, parts.test), bootstrap, work),
        *study.compare_latents(chosen, parts, corpus, role, bootstrap),
        *representation_rows(corpus, store_by_role, bootstrap),
        select(params, place, chosen, ladders, floor[1] if floor else None),
    ]
    for one, store in store_by_role.items():
        found += study.score_densities(chosen, parts_by_role[one], one, bootstrap)
        found += study.variance_rows(corpus, store, place.layer, one)
    for position, ladder in sorted(ladders.items()):
        found += climbing.tabulate(position, ladder, further.get(position, {}), bootstrap)
        found.append(climbing.describe(corpus, position, ladder, bootstrap))
    return Tables.of(found)


def select(
    params: Params,
    place: study.Place,
    chosen: Mapping[Fit, Chosen],
    ladders: Mapping[str, Ladder],
    error_share: float | None,
) -> Selection:
    """What dev problems chose."""
    return Selection(
        "dev",
        place.layer,
        params.rank,
        place.grid,
        {f"{fit.role or 'labels'}/{fit.name}": one.setting for fit, one in chosen.items()},
        {
            position: {name: one.ridge for name, one in ladder.rungs.items()}
            for position, ladder in ladders.items()
        },
        error_share,
    )


def write(result: Tables, out: Path) -> None:
    """Writes all results, a file each."""
    for table in TABLES:
        write_rows(table, result.rows(table), out)
    reader.write_json(out / "entropy_rate.json", result.record(EntropyRate))
    reader.write_json(out / "selection.json", result.record(Selection))


def _further(
    corpus: Corpus,
    ladder: Ladder,
    floor: tuple[climbing.Losses, float] | None,
    loaded: LoadedModel,
    tokens: Tokens,
    work: Work,
) -> dict[str, climbing.Losses]:
    """At the sentence's end also the model's own distribution and the floor, where they exist."""
    own = climbing.own_next_token(corpus, loaded, ladder.rows, tokens, work)
    found = {"next_token": own, "posterior": floor[0] if floor else None}
    return {name: loss for name, loss in found.items() if loss is not None}


def main(argv: Sequence[str] | None = None) -> None:
    """Fits and compares the state models."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    opened = Study(workspace)
    params_ = params.load(Params, "transitions", workspace.params)
    work = SideBySide(opened.units, params_.n_processes)
    prepare_torch(1)
    roles = opened.roles
    # Matrices are too small to be shared out, so models are fitted side by side instead.
    with threadpool_limits(1):
        result = run(
            params_,
            params.load(Bootstrap, "statistics", workspace.params),
            make_corpus(opened.traces, opened.sentences, opened.posteriors, opened.laws),
            {role: opened.store(role) for role in (roles.studied, roles.base, *roles.controls)},
            opened.models([roles.studied])[roles.studied],
            opened.tokens,
            work,
        )
    with artifacts.new_folder(workspace.results("transitions")) as folder:
        write(result, folder)
    for row in result.rows(StateModel):
        print(f"{row.role}/{row.class_}: {row.score.nll:.4f} nats a sentence")


if __name__ == "__main__":
    main()
