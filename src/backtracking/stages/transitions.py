"""Which state model describes a trace, and what do activations add to what the text says?

Layer, smoothing, numbers of states and penalties are chosen on dev problems, before test is read.

Reads: models/reasoning, data/{interim/traces,processed/sentences},
    data/interim/activations/{reasoning,base,shuffled}
Writes: results/transitions/{models,densities,ladder,matrix,dwell,order,noise,latents,
    representation,selection}.json
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from threadpoolctl import threadpool_limits

from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.policy import Policy
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.records import traces
from backtracking.records.moments import read_moments
from backtracking.records.traces import Trace
from backtracking.runtime import params
from backtracking.runtime.command import run_stage
from backtracking.runtime.compute import prepare_torch
from backtracking.runtime.workspace import Workspace
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import climbing, dial, memory, order_tests, study
from backtracking.transitions.corpus import Corpus, make_corpus
from backtracking.transitions.grammar_view import forms_of, policy_laws, targets_of
from backtracking.transitions.matrix import steps_to, transition_rows
from backtracking.transitions.next_token import end_ids
from backtracking.transitions.plan import Plan
from backtracking.transitions.sequences import LABELS
from backtracking.transitions.sharing import representation_rows
from lifeboat.stage import artifacts


@dataclass(frozen=True)
class Params(Plan):
    """The plan, and where it runs.

    Attributes:
        n_threads: CPU threads.
    """

    n_threads: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_threads < 1:
            raise ValueError(f"n_threads {self.n_threads} must be 1 or more.")


def run(
    params: Params,
    bootstrap: Bootstrap,
    policy: Policy,
    corpus: Corpus,
    store_by_role: Mapping[str, ActivationStore],
    loaded: LoadedModel,
) -> dict[str, Any]:
    """All results of the stage by file name."""
    words = loaded.tokenizer.convert_ids_to_tokens(list(range(len(loaded.tokenizer))))
    forms = forms_of(corpus, words)
    laws = policy_laws(corpus, forms, targets_of(corpus, words), policy)
    role = params.roles[0]
    place = study.choose_place(params, corpus, store_by_role[role])
    parts_by_role = study.read_parts(params, corpus, store_by_role, place.layer)
    parts = parts_by_role[role]
    with ThreadPoolExecutor(params.n_threads) as pool:
        climbing_up = pool.submit(
            climbing.climb_everywhere, params, corpus, store_by_role, place.layer
        )
        fitting = study.begin(params, parts_by_role, bootstrap, pool)
        turning = pool.submit(
            dial.turn, (parts.train, parts.dev, parts.test), params.kappas, params.grid,
            params.ridges, bootstrap, params.n_draws, params.seed,
        )  # fmt: skip
        sharing = pool.submit(representation_rows, corpus, forms, store_by_role, bootstrap)
    fitted, climbed = [one.result() for one in fitting], climbing_up.result()
    chosen = {name: model for one in fitted for name, model in one.chosen.items()}
    loss_by_model = {name: loss for one in fitted for name, loss in one.loss.items()}
    ladder, error_share = climb_up(params, bootstrap, corpus, laws, climbed, loaded)
    answer = LABELS.index("final-answer")
    return {
        "models": study.score_models(loss_by_model, parts.test, bootstrap),
        "densities": {
            "models": [row for one in fitted for row in one.densities],
            "variance_share": [
                row
                for one, store in store_by_role.items()
                for row in study.variance_rows(corpus, store, place.layer, one)
            ],
        },
        "ladder": ladder,
        "matrix": {
            "entries": transition_rows(parts.test, params.n_shuffles, bootstrap, params.seed),
            "steps_to_answer": steps_to(parts.test, answer, bootstrap),
        },
        "dwell": order_tests.dwell_rows(parts.test, bootstrap, params.n_draws, params.seed),
        "order": {
            "tests": memory.order_rows(
                parts.test, loss_by_model, bootstrap, params.n_draws, params.seed
            ),
            "entropy_rate": memory.entropy_rate(
                laws[corpus.scored_rows("test")], loss_by_model, parts.test, bootstrap
            ),
        },
        "noise": turning.result(),
        "latents": study.compare_latents(chosen, parts, corpus, role, bootstrap),
        "representation": sharing.result(),
        "selection": {
            "chosen_on": "dev",
            "layer": place.layer,
            "rank": params.rank,
            "grid": place.grid,
            "models": {
                name: one.setting | {"dev_nll": one.dev_nll} for name, one in chosen.items()
            },
            "ladder": {
                position: {name: one.ridge for name, one in rungs.items()}
                for position, (_, rungs) in climbed.items()
            },
            "error_share": error_share,
        },
    }


def climb_up(
    params: Params,
    bootstrap: Bootstrap,
    corpus: Corpus,
    laws: Any,
    climbed: Mapping[str, tuple[Any, Mapping[str, Any]]],
    loaded: LoadedModel,
) -> tuple[dict[str, Any], float]:
    """The ladder by position; at `end` also the model's own distribution and the floor."""
    rows = climbed["end"][0]
    posterior, error_share = climbing.floor(params, corpus, laws, rows)
    at_end = {
        "next_token": climbing.own_next_token(corpus, loaded, rows, end_ids(loaded)),
        "posterior": posterior,
    }
    found = {}
    for position, (rows, rungs) in climbed.items():
        loss = {name: one.loss for name, one in rungs.items()}
        loss |= at_end if position == "end" else {}
        found[position] = climbing.tabulate(corpus, rows, loss, params.roles, bootstrap)
    return found, error_share


def main(argv: Sequence[str] | None = None) -> None:
    """Fits and compares the state models."""
    run_stage(_main, argv)


def _main(workspace: Workspace, _role: str) -> None:
    params_ = params.load(Params, "transitions", workspace.params)
    bootstrap = params.load(Bootstrap, "statistics", workspace.params)
    policy = params.load(Policy, "policy", workspace.params)
    prepare_torch(params_.n_threads)
    written = traces.read(Trace, workspace.traces / "traces.jsonl")
    sentences = traces.read(traces.Sentence, workspace.sentences / "sentences.jsonl")
    tokens = artifacts.read_jsonl(workspace.sentences / "tokens.jsonl")
    corpus = make_corpus(
        written,
        read_moments(written, sentences),
        {row["trace_id"]: row["p_dead"] for row in tokens},
    )
    stores = {role: ActivationStore(workspace.activations(role)) for role in params_.roles}
    loaded = loading.load(workspace.model("reasoning"))
    # Models are fitted side by side instead: their matrices are too small to be shared out.
    with threadpool_limits(1):
        result = run(params_, bootstrap, policy, corpus, stores, loaded)
    with artifacts.new_folder(workspace.results("transitions")) as folder:
        for name, value in result.items():
            artifacts.write_json(folder / f"{name}.json", value)
    for row in result["models"]:
        print(f"{row['role']}/{row['class']}: {row['nll']:.4f} nats a sentence")


if __name__ == "__main__":
    main()
