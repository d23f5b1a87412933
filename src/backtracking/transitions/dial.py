"""The numbers of the study as functions of the labels alone, for the label-noise dial."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Int
from scipy import sparse

from backtracking.records.intervals import Interval
from backtracking.records.rows.table import first
from backtracking.records.rows.transitions import Heard, Noise
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import ladder, noise, order_tests
from backtracking.transitions.plan import Plan, Work
from backtracking.transitions.registry import OF_LABELS, choose_chain
from backtracking.transitions.scoring import losses
from backtracking.transitions.sequences import LABELS, Sequences

EVENT = "backtracking"


def turn(
    plan: Plan, parts: tuple[Sequences, Sequences, Sequences], bootstrap: Bootstrap, work: Work
) -> list[Noise]:
    """One row per setting of the dial, the exact labels first: what the study would have said.

    Args:
        plan: the dial's settings and the rest.
        parts: train, dev and test with exact labels; every one is corrupted alike.
        bootstrap: intervals by problem.
        work: does the jobs.
    """
    settings: list[tuple[float, noise.Where]] = [(1.0, "evenly")]
    for kappa in plan.kappas:
        settings.append((kappa, "evenly"))
        settings.append((kappa, "at_events"))
    event, exact = LABELS.index(EVENT), parts[2]
    realised, jobs = [], {}
    for number, (kappa, where) in enumerate(settings):
        rng = np.random.default_rng([plan.seed, number])
        heard = parts
        if kappa < 1:
            heard = tuple(noise.corrupt(part, kappa, where, event, rng) for part in parts)
        present = exact.present
        both = exact.label[present], heard[2].label[present]
        realised.append(noise.kappa_of(*both, exact.n_labels))
        jobs[number] = partial(numbers, heard, plan.ridges, bootstrap, plan.n_draws, plan.seed)
    found = work(jobs, "settings of the label-noise dial")
    return [
        Noise(kappa, realised[number], where if kappa < 1 else "nowhere", found[number])
        for number, (kappa, where) in enumerate(settings)
    ]


def numbers(
    parts: tuple[Sequences, ...],
    ridges: Sequence[float],
    bootstrap: Bootstrap,
    n_draws: int,
    seed: int,
) -> Heard:
    """NLL gains, the bound on the entropy rate, entries of the matrix, dwell, activation's gain.

    Args:
        parts: train, dev and test.
        ridges: of the regression on labels and activations.
        bootstrap: intervals by problem.
        n_draws: draws of the null of the dwell test.
        seed: of these.
    """
    train, dev, test = parts
    loss = {
        name: losses(choose_chain(name, train, dev).model.predict(test), test) for name in OF_LABELS
    }
    with_x = _regressions(parts, ridges)
    problem = list(test.row_problem)
    gains = {
        "markov_1_over_iid": loss["iid"] - loss["markov_1"],
        "markov_2_over_markov_1": loss["markov_1"] - loss["markov_2"],
        "markov_3_over_markov_2": loss["markov_2"] - loss["markov_3"],
        "semi_markov_over_markov_1": loss["markov_1"] - loss["semi_markov"],
        "activation_over_labels": with_x[0] - with_x[1],
    }
    best = min(loss, key=lambda name: loss[name].mean())
    columns = np.stack([*gains.values(), loss[best]], axis=1)
    *found, bound = bootstrap.intervals(columns, problem)
    event = LABELS.index(EVENT)
    dwells = order_tests.dwell_rows(test, bootstrap, n_draws, seed)
    dwell = first(dwells, label=EVENT)
    return Heard(
        dict(zip(gains, found, strict=True)),
        entropy_rate_bound=bound,
        stays_in_event=_share(test, event, event, bootstrap),
        deduction_to_event=_share(test, LABELS.index("deduction"), event, bootstrap),
        mean_dwell=dwell.mean_dwell if dwell else None,
        dwell_p_geometric=dwell.p if dwell else None,
    )


def _share(test: Sequences, start: int, end: int, bootstrap: Bootstrap) -> Interval:
    """p(end | start), with its interval."""
    chosen = test.scored & (test.label == start)
    if not chosen.any():
        return Interval(None, None, None, 0)
    problem = np.broadcast_to(test.problem[:, None], chosen.shape)[chosen]
    hits = (test.target[chosen] == end).astype(float)
    return bootstrap.intervals(hits, list(problem))[0]


def _regressions(
    parts: tuple[Sequences, ...], ridges: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Test losses of regressions on the last labels, without and with the activation."""
    labels = [ladder.label_features(_last_labels(part), part.n_labels) for part in parts]
    target = [part.target[part.scored] for part in parts]
    both = [
        ladder.joined(text, sparse.csr_matrix(part.x[part.scored]))
        for text, part in zip(labels, parts, strict=True)
    ]
    found, start = [], None
    for features in (labels, both):
        start, _ = ladder.choose_softmax(
            features[:2], target[:2], parts[0].n_symbols, ridges, start
        )
        found.append(start.losses(features[2], target[2]))
    return found[0], found[1]


def _last_labels(part: Sequences) -> Int[np.ndarray, "rows back"]:
    back = [part.label]
    for age in range(1, ladder.N_LABELS_BACK):
        moved = np.full_like(part.label, -1)
        moved[:, age:] = part.label[:, :-age]
        back.append(moved)
    return np.stack(back, axis=2)[part.scored]
