"""Which state model describes a trace, and what do activations add to what the text says?

Layer, smoothing, numbers of states and penalties are chosen on dev problems, before test is read.
Models that are learnt by EM, rungs of the ladder and what a model itself says next are kept as
units.

Reads: models/<the one under study>, data/{interim/traces,processed/labels},
    data/interim/activations/* of the pair under study and of the control pairs' models
Writes: results/transitions/{models,densities,ladder,matrix,dwell,order,noise,latents,
    representation,selection}.json
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from backtracking.activations.reader import ActivationStore
from backtracking.models.loading import LoadedModel
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
from backtracking.transitions.sequences import LABELS
from backtracking.transitions.sharing import representation_rows
from lifeboat.stage import artifacts
from lifeboat.stage.units import Units, kept

OUT = "results/transitions"


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
) -> dict[str, Any]:
    """All results of the stage by file name.

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
    laws = None if corpus.laws is None else corpus.laws[corpus.scored_rows("test")]
    seed, n_draws = params.seed, params.n_draws
    return {
        "models": study.score_models(loss_by_model, parts.test, bootstrap),
        "densities": {
            "models": [
                row
                for one, its in parts_by_role.items()
                for row in study.score_densities(chosen, its, one, bootstrap)
            ],
            "variance_share": [
                row
                for one, store in store_by_role.items()
                for row in study.variance_rows(corpus, store, place.layer, one)
            ],
        },
        "ladder": {
            position: climbing.tabulate(
                corpus,
                ladder,
                _further(corpus, ladder, floor, loaded, tokens, work) if position == "end" else {},
                bootstrap,
            )
            for position, ladder in ladders.items()
        },
        "matrix": {
            "entries": transition_rows(parts.test, params.n_shuffles, bootstrap, seed),
            "steps_to_answer": steps_to(parts.test, LABELS.index("final-answer"), bootstrap),
        },
        "dwell": order_tests.dwell_rows(parts.test, bootstrap, n_draws, seed),
        "order": {
            "tests": memory.order_rows(parts.test, loss_by_model, bootstrap, n_draws, seed),
            "entropy_rate": memory.entropy_rate(laws, loss_by_model, parts.test, bootstrap),
        },
        "noise": dial.turn(params, (parts.train, parts.dev, parts.test), bootstrap, work),
        "latents": study.compare_latents(chosen, parts, corpus, role, bootstrap),
        "representation": representation_rows(corpus, store_by_role, bootstrap),
        "selection": {
            "chosen_on": "dev",
            "layer": place.layer,
            "rank": params.rank,
            "grid": place.grid,
            "models": {
                f"{fit.role or 'labels'}/{fit.name}": one.setting | {"dev_nll": one.dev_nll}
                for fit, one in chosen.items()
            },
            "ladder": {
                position: {name: one.ridge for name, one in ladder.rungs.items()}
                for position, ladder in ladders.items()
            },
            "error_share": floor[1] if floor else None,
        },
    }


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
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for row in result["models"]:
        print(f"{row['role']}/{row['class']}: {row['nll']:.4f} nats a sentence")


if __name__ == "__main__":
    main()
