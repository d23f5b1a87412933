"""The study of state models on one corpus: place on dev, models, densities, latent states."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from backtracking.activations.reader import ActivationStore
from backtracking.records.rows.transitions import (
    Density,
    Latent,
    LayerTried,
    StateModel,
    VarianceShare,
)
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import agreement, density
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

RANKS = (1, 2, 4, 8, 16, 32, 40, 64)
"""Ranks whose share of the variance is reported."""


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
    learning = replace(plan.grid.hmm, n_starts=1)
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
        parts, (counts, learning) = parts_by_role[fit.role or ""], plan.grid.of(fit.name)
        for n in counts:
            jobs[fit, n] = partial(fit_hidden, fit.name, parts.train, parts.dev, n, learning)
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
    loss_by_model: Mapping[Fit, Float[np.ndarray, " rows"]], test: Sequences, bootstrap: Bootstrap
) -> list[StateModel]:
    """One row per model: NLL on test, and the paired difference to the chain of order 1.

    The role of those that read labels alone is `labels`.
    """
    scores = compare(loss_by_model, test.row_problem, REFERENCE, bootstrap)
    return [StateModel(fit.role or "labels", fit.name, score) for fit, score in scores.items()]


def score_densities(
    chosen: Mapping[Fit, Chosen], parts: Parts, role: str, bootstrap: Bootstrap
) -> list[Density]:
    """One row per model of x: log density one sentence ahead, beside the iid Gaussian's, and R2."""
    test = parts.test
    forecasts = {
        "gaussian_iid": density.gaussian_iid(parts.train, test),
        "var_1": density.var_1(parts.train, test),
        "hmm": density.hmm(chosen[Fit(role, "hmm")].model, test),
        "slds": density.slds(chosen[Fit(role, "slds")].model, test),
    }
    rows = density.forecast_rows(test)
    problem = list(np.broadcast_to(test.problem[:, None], rows.shape)[rows])
    found = []
    for name, forecast in forecasts.items():
        gap = forecast.log_density - forecasts["gaussian_iid"].log_density
        own, gain = bootstrap.intervals(np.stack([forecast.log_density, gap], axis=1), problem)
        squares = density.r_squared(test.x[rows], forecast.mean)
        r2 = bootstrap.intervals(squares, problem, lambda m: 1 - m[:, :1] / m[:, 1:])[0]
        found.append(Density(role, name, own, gain, r2))
    return found


def variance_rows(
    corpus: Corpus, store: ActivationStore, layer: int, role: str
) -> list[VarianceShare]:
    """Share of the variance of train activations at sentence ends, by number of components."""
    train = corpus.sentences[corpus.sentences.split == "train"]
    values, present = read_at(store, layer, train.trace, train.end - 1)
    share = density.variance_share(values[present])
    return [
        VarianceShare(role, rank, float(share[rank - 1])) for rank in RANKS if rank <= len(share)
    ]


def compare_latents(
    chosen: Mapping[Fit, Chosen], parts: Parts, corpus: Corpus, role: str, bootstrap: Bootstrap
) -> list[Latent]:
    """Most probable hidden state given the past, against the true label, form and kind.

    Rows of what is known of any test sentence; what is not known of one is a value of its own.
    """
    present = parts.test.present
    sentences = corpus.sentences[corpus.rows[corpus.part("test")][present]]
    found = []
    for name in HIDDEN:
        latent = chosen[Fit(role, name)].model.filtered(parts.test)[present].argmax(axis=1)
        for truth, column in (("label", "state"), ("form", "form"), ("kind", "kind")):
            values, words = sentences.codes(column)
            if words:
                measured = agreement.agree(latent, values, sentences.problem, bootstrap)
                found.append(Latent(role, name, truth, measured))
    return found
