"""The study of state models on one corpus: place on dev, models, forecasts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from backtracking.activations.reader import ActivationStore
from backtracking.records.edges import edge_of
from backtracking.records.rows.transitions import Forecast, LayerTried, StateModel, VarianceShare
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import forecast
from backtracking.transitions.comparing import compare
from backtracking.transitions.corpus import Corpus, read_at, sentence_ends
from backtracking.transitions.plan import Plan, Work
from backtracking.transitions.registry import (
    HIDDEN,
    OF_LABELS,
    Chosen,
    Fit,
    best_of,
    choose_chain,
    fit_hidden,
)
from backtracking.transitions.scoring import best, losses
from backtracking.transitions.sequences import Sequences

REFERENCE = Fit(None, "markov_1")
"""What every model is compared with."""

RANK = 40
"""Components whose share of the variance is reported, as it was published."""


@dataclass(frozen=True)
class Parts:
    """The corpus by split, with one model's activations at sentence ends."""

    train: Sequences
    dev: Sequences
    test: Sequences


@dataclass(frozen=True)
class Place:
    """Where activations are read.

    Attributes:
        layer: of `resid_post`, chosen on dev.
        grid: NLL on dev of every layer.
    """

    layer: int
    grid: tuple[LayerTried, ...]


def choose_place(plan: Plan, corpus: Corpus, store: ActivationStore, work: Work) -> Place:
    """The layer at which a hidden Markov model predicts dev best."""
    learning = replace(plan.grid.learning, n_starts=1)
    jobs = {}
    for layer in store.layers:
        parts = split(corpus, sentence_ends(corpus, store, layer, plan.rank))
        jobs[layer] = partial(
            fit_hidden, "hmm", parts.train, parts.dev, plan.place_states, learning
        )
    tried = {layer: one.setting.dev_nll for layer, one in work(jobs, "layers").items()}
    return Place(best(tried), tuple(LayerTried(*one) for one in tried.items()))


def split(corpus: Corpus, x: Float[np.ndarray, "traces steps rank"]) -> Parts:
    """Train, dev and test of the corpus with these activations."""
    sequences = corpus.sequences.with_x(x)
    return Parts(*(sequences[corpus.part(name)] for name in ("train", "dev", "test")))


def read_parts(
    plan: Plan, corpus: Corpus, store_by_role: Mapping[str, ActivationStore], layer: int
) -> dict[str, Parts]:
    """Train, dev and test with each role's activations at the ends of sentences."""
    return {
        role: split(corpus, sentence_ends(corpus, store, layer, plan.rank))
        for role, store in store_by_role.items()
    }


def fit_all(plan: Plan, parts_by_role: Mapping[str, Parts], work: Work) -> dict[Fit, Chosen]:
    """Every class on the first role's parts, and those that read activations on each role's.

    The first role chooses the number of hidden states of the HMM, and the others have as many.
    Regimes are chosen in each.
    """
    (own, parts), *others = parts_by_role.items()
    chains = {Fit(None, name): choose_chain(name, parts.train, parts.dev) for name in OF_LABELS}
    slds = [Fit(role, "slds") for role in parts_by_role]
    first = _fit_hidden(plan, parts_by_role, [Fit(own, "hmm"), *slds], work)
    n_states = first[Fit(own, "hmm")].setting.n_states
    assert n_states is not None
    alike = replace(plan, hmm_states=(n_states,))
    later = _fit_hidden(alike, parts_by_role, [Fit(role, "hmm") for role, _ in others], work)
    hidden = first | later
    return chains | {Fit(role, name): hidden[Fit(role, name)] for role in parts_by_role
                     for name in HIDDEN}  # fmt: skip


def _fit_hidden(
    plan: Plan, parts_by_role: Mapping[str, Parts], fits: list[Fit], work: Work
) -> dict[Fit, Chosen]:
    """One job a model and number of hidden states."""
    jobs = {}
    for fit in fits:
        parts = parts_by_role[fit.role or ""]
        for n in plan.grid.of(fit.name):
            jobs[fit, n] = partial(
                fit_hidden, fit.name, parts.train, parts.dev, n, plan.grid.learning
            )
    found = work(jobs, "models with hidden states")
    return {fit: best_of({n: one for (its, n), one in found.items() if its == fit}) for fit in fits}


def losses_on_test(
    chosen: Mapping[Fit, Chosen], parts_by_role: Mapping[str, Parts]
) -> dict[Fit, Float[np.ndarray, " rows"]]:
    """-log p of what followed each scored test sentence, by model."""
    first = next(iter(parts_by_role))
    return {
        fit: losses(one.model.predict(test), test)
        for fit, one in chosen.items()
        for test in [parts_by_role[fit.role or first].test]
    }


def score_models(
    plan: Plan,
    chosen: Mapping[Fit, Chosen],
    loss_by_model: Mapping[Fit, Float[np.ndarray, " rows"]],
    test: Sequences,
    bootstrap: Bootstrap,
) -> list[StateModel]:
    """One row per model: NLL on test, and the paired difference to the chain of order 1.

    The role of those that read labels alone is `labels`.
    """
    scores = compare(loss_by_model, test.row_problem, REFERENCE, bootstrap)
    found = []
    for fit, score in scores.items():
        n = chosen[fit].setting.n_states if fit in chosen else None
        edge = None if n is None else edge_of(n, plan.grid.of(fit.name))
        found.append(StateModel(fit.role or "labels", fit.name, score, n, edge))
    return found


def score_forecasts(
    chosen: Mapping[Fit, Chosen], parts: Parts, role: str, bootstrap: Bootstrap
) -> list[Forecast]:
    """One row per model that forecasts x."""
    test = parts.test
    means = {
        "var_1": forecast.var_1(parts.train, test),
        "slds": forecast.slds(chosen[Fit(role, "slds")].model, test),
    }
    rows = forecast.forecast_rows(test)
    problem = list(np.broadcast_to(test.problem[:, None], rows.shape)[rows])
    found = []
    for name, mean in means.items():
        squares = forecast.r_squared(test.x[rows], mean)
        (r2,) = bootstrap.intervals(squares, problem, lambda m: 1 - m[:, :1] / m[:, 1:])
        found.append(Forecast(role, name, r2))
    return found


def variance_rows(
    corpus: Corpus, store: ActivationStore, layer: int, role: str
) -> list[VarianceShare]:
    """Share of the variance of train activations at sentence ends in `RANK` components.

    No row where there are fewer.
    """
    train = corpus.sentences[corpus.sentences.split == "train"]
    values, present = read_at(store, layer, train.trace, train.end - 1)
    share = forecast.variance_share(values[present])
    return [VarianceShare(role, RANK, float(share[RANK - 1]))] if len(share) >= RANK else []
