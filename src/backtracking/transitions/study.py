"""The study of state models on one corpus: place on dev, models, densities, latent states."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from backtracking.activations.reader import ActivationStore
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import agreement, density, em
from backtracking.transitions.classes import CLASSES, Chosen, Grid, choose
from backtracking.transitions.corpus import Corpus, read_at, sentence_ends
from backtracking.transitions.plan import Plan
from backtracking.transitions.scoring import best, compare, losses, nll
from backtracking.transitions.sequences import Sequences

REFERENCE = "markov_1"

OF_A_ROLE = ("hmm", "slds")
"""Classes that read activations; the others read labels alone."""

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
    grid: list[dict[str, Any]]


@dataclass(frozen=True)
class Fitted:
    """State models on one role's parts.

    Attributes:
        chosen: by `<role>/<class>`.
        loss: -log p of what followed each test sentence, by the same names.
        densities: rows of `score_densities`.
    """

    chosen: dict[str, Chosen]
    loss: dict[str, np.ndarray]
    densities: list[dict[str, Any]]


def choose_place(plan: Plan, corpus: Corpus, store: ActivationStore) -> Place:
    """The layer at which a hidden Markov model predicts dev best."""
    tried = {}
    for layer in store.layers:
        parts = split(corpus, sentence_ends(corpus, store, layer, plan.rank))
        model = em.fit(parts.train, plan.place_states, replace(plan.grid.hmm, n_starts=1))
        tried[layer] = nll(model.predict(parts.dev), parts.dev)
    grid = [{"layer": layer, "dev_nll": value} for layer, value in tried.items()]
    return Place(best(tried), grid)


def split(corpus: Corpus, x: np.ndarray) -> Parts:
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


def begin(
    plan: Plan, parts_by_role: Mapping[str, Parts], bootstrap: Bootstrap, pool: Executor
) -> list[Future[Fitted]]:
    """The fits of every role, the first role's with the classes that read labels alone.

    Waits for these: they choose the number of hidden states of the HMM, and the others have as
    many. Regimes are chosen in each.
    """
    (first, its), *others = parts_by_role.items()
    own = pool.submit(fit_role, plan.grid, first, its, CLASSES, bootstrap)
    n_states = own.result().chosen[f"{first}/hmm"].setting["n_states"]
    grid = replace(plan.grid, hmm_states=(n_states,))
    return [own] + [
        pool.submit(fit_role, grid, role, parts, OF_A_ROLE, bootstrap) for role, parts in others
    ]


def fit_role(
    grid: Grid, role: str, parts: Parts, names: Sequence[str], bootstrap: Bootstrap
) -> Fitted:
    """Classes of models on one role's parts; the role of those that read no `x` is `labels`."""
    chosen = {
        f"{role if name in OF_A_ROLE else 'labels'}/{name}": choose(
            name, parts.train, parts.dev, grid
        )
        for name in names
    }
    loss = {name: losses(one.model.predict(parts.test), parts.test) for name, one in chosen.items()}
    return Fitted(chosen, loss, score_densities(chosen, parts, role, bootstrap))


def score_models(
    loss_by_model: Mapping[str, np.ndarray], test: Sequences, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """One row per model: NLL on test, and the paired difference to the chain of order 1."""
    rows = compare(loss_by_model, test.row_problem, f"labels/{REFERENCE}", bootstrap)
    return [
        dict(zip(("role", "class"), row.pop("model").split("/"), strict=True)) | row for row in rows
    ]


def score_densities(
    chosen: Mapping[str, Chosen], parts: Parts, role: str, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """One row per model of x: log density one sentence ahead, beside the iid Gaussian's, and R2."""
    test = parts.test
    forecasts = {
        "gaussian_iid": density.gaussian_iid(parts.train, test),
        "var_1": density.var_1(parts.train, test),
        "hmm": density.hmm(chosen[f"{role}/hmm"].model, test),
        "slds": density.slds(chosen[f"{role}/slds"].model, test),
    }
    rows = density.forecast_rows(test)
    problem = list(np.broadcast_to(test.problem[:, None], rows.shape)[rows])
    found = []
    for name, forecast in forecasts.items():
        gap = forecast.log_density - forecasts["gaussian_iid"].log_density
        own, gain = bootstrap.intervals(np.stack([forecast.log_density, gap], axis=1), problem)
        squares = density.r_squared(test.x[rows], forecast.mean)
        r2 = bootstrap.intervals(squares, problem, lambda m: 1 - m[:, :1] / m[:, 1:])[0]
        found.append(
            {"role": role, "model": name}
            | {"log_density": asdict(own), "over_iid": asdict(gain), "r2": asdict(r2)}
        )
    return found


def variance_rows(
    corpus: Corpus, store: ActivationStore, layer: int, role: str
) -> list[dict[str, Any]]:
    """Share of the variance of train activations at sentence ends, by number of components."""
    train = corpus.moments[corpus.moments.split == "train"]
    values, present = read_at(store, layer, train.trace, train.end - 1)
    share = density.variance_share(values[present])
    return [
        {"role": role, "rank": rank, "share": float(share[rank - 1])}
        for rank in RANKS
        if rank <= len(share)
    ]


def compare_latents(
    chosen: Mapping[str, Chosen], parts: Parts, corpus: Corpus, role: str, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """Most probable hidden state given the past, against the true label, form and kind."""
    present = parts.test.present
    sentences = corpus.rows[corpus.part("test")][present]
    moments = corpus.moments[sentences]
    found = []
    for name in ("hmm", "slds"):
        latent = chosen[f"{role}/{name}"].model.filtered(parts.test)[present].argmax(axis=1)
        for truth in ("label", "form", "kind"):
            values = getattr(moments, truth)
            measured = agreement.agree(latent, values, moments.problem, bootstrap)
            found.append({"role": role, "model": name, "truth": truth} | measured)
    return found
