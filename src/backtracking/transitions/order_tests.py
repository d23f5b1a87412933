"""How much memory do labels need, and are dwells geometric?

Order: a likelihood ratio of order k + 1 to order k on the same counts, against traces drawn from
the fitted order k (a parametric bootstrap: with sparse tables the chi-square law does not hold).
Dwell: the same for dwells in a label against the geometric law of the same hazard. Runs that the
end of a truncated trace cuts are censored and count with the time they lasted.
"""

import numpy as np
from jaxtyping import Float

from backtracking.records.intervals import Interval
from backtracking.records.rows.transitions import Dwell, Hazard, LikelihoodRatio
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.multiplicity import holm
from backtracking.transitions import markov, simulate
from backtracking.transitions.semi_markov import dwell_so_far
from backtracking.transitions.sequences import Sequences

LONGEST = 6
"""Dwells from here on share a cell of the test."""


def order_test(
    sequences: Sequences, order: int, n_draws: int, rng: np.random.Generator
) -> LikelihoodRatio:
    """Likelihood ratio of order + 1 to order, and its p against draws from the lower order.

    Args:
        sequences: traces whose labels are tested.
        order: the null.
        n_draws: sets of traces drawn from it, of the same number and first labels.
        rng: source of chance.
    """
    statistic = likelihood_ratio(sequences, order)
    null = markov.fit(sequences, (1e-9,) * (order + 1))
    drawn = np.array(
        [likelihood_ratio(one, order) for one in _redraw(sequences, null, n_draws, rng)]
    )
    return LikelihoodRatio(
        order,
        order + 1,
        statistic,
        null_mean=float(drawn.mean()),
        null_95=float(np.quantile(drawn, 0.95)),
        p=_p_of(statistic, drawn),
    )


def likelihood_ratio(sequences: Sequences, order: int) -> float:
    """2 (log-likelihood of order + 1 - log-likelihood of order), both at their maxima."""
    longer = markov.count(sequences, order + 1)
    n = (sequences.n_labels + 1) ** order
    shorter = longer.reshape(-1, n, longer.shape[1]).sum(axis=0)
    return 2 * (_log_likelihood(longer) - _log_likelihood(shorter))


def dwell_rows(sequences: Sequences, bootstrap: Bootstrap, n_draws: int, seed: int) -> list[Dwell]:
    """One row per label that ever stays: mean dwell, hazards by dwell, and the geometric test.

    p is against dwells drawn from the geometric law with the label's hazard, Holm-corrected over
    labels. Runs are drawn as independent, which runs of one problem need not be.
    """
    rng = np.random.default_rng(seed)
    at_risk, left = _risk_sets(sequences)
    labels = np.flatnonzero((at_risk - left).sum(axis=1) > 0)
    tested = [geometric_test(at_risk[label], left[label], n_draws, rng) for label in labels]
    p = [_p_of(statistic, null) for statistic, null in tested]
    return [
        Dwell(
            sequences.names[label],
            *_hazards(sequences, int(label), bootstrap),
            statistic=statistic,
            null_95=float(np.quantile(null, 0.95)),
            p=own,
            p_holm=float(corrected),
        )
        for label, (statistic, null), own, corrected in zip(
            labels, tested, p, holm(np.array(p)), strict=True
        )
    ]


def geometric_test(
    at_risk: Float[np.ndarray, " dwells"],
    left: Float[np.ndarray, " dwells"],
    n_draws: int,
    rng: np.random.Generator,
) -> tuple[float, Float[np.ndarray, " n_draws"]]:
    """G statistic of hazards by dwell against one hazard, and its draws under that.

    Each draw sends the runs that begin through the dwells with the common hazard.

    Args:
        at_risk: runs that lasted this long and whose next symbol is known.
        left: runs among them that ended there.
        n_draws: draws of the null.
        rng: source of chance.
    """
    hazard = left.sum() / at_risk.sum()
    drawn_risk, drawn_left = np.zeros((2, n_draws, len(at_risk)))
    # Censoring before a dwell is kept as it was seen: these runs never reach it.
    lost = np.append(at_risk[:-2] - left[:-2] - at_risk[1:-1], [0, 0]).clip(min=0)
    going = np.full(n_draws, int(at_risk[0]))
    for place in range(len(at_risk) - 1):
        drawn_risk[:, place] = going
        drawn_left[:, place] = rng.binomial(going, hazard)
        going = (going - drawn_left[:, place] - lost[place]).clip(min=0).astype(int)
    # The last cell pools: a run stays in it for a geometric time.
    drawn_left[:, -1] = going
    extra = np.where(going > 0, rng.negative_binomial(np.maximum(going, 1), hazard), 0)
    drawn_risk[:, -1] = going + extra
    return (
        float(_g_statistic(at_risk[None], left[None])[0]),
        _g_statistic(drawn_risk, drawn_left),
    )


def _risk_sets(
    sequences: Sequences,
) -> tuple[Float[np.ndarray, "labels dwells"], Float[np.ndarray, "labels dwells"]]:
    scored = sequences.scored
    label, dwell = sequences.label[scored], dwell_so_far(sequences.label)[scored]
    cell = (label, dwell.clip(max=LONGEST) - 1)
    at_risk, left = np.zeros((2, sequences.n_labels, LONGEST))
    np.add.at(at_risk, cell, 1.0)
    np.add.at(left, cell, (label != sequences.target[scored]).astype(float))
    return at_risk, left


def _p_of(statistic: float, drawn: Float[np.ndarray, " n_draws"]) -> float:
    return float((1 + (drawn >= statistic).sum()) / (1 + len(drawn)))


def _hazards(
    sequences: Sequences, label: int, bootstrap: Bootstrap
) -> tuple[Interval, Interval, tuple[Hazard, ...]]:
    """The mean dwell, which is 1 / hazard; the hazard over all dwells; and that by dwell."""
    scored = sequences.scored & (sequences.label == label)
    dwell = dwell_so_far(sequences.label)[scored].clip(max=LONGEST)
    leaves = (sequences.target[scored] != label).astype(float)
    at = dwell[:, None] == np.arange(1, LONGEST + 1)
    problem = list(np.broadcast_to(sequences.problem[:, None], scored.shape)[scored])
    values = np.column_stack([np.where(at, leaves[:, None], np.nan), leaves])
    *by_dwell, hazard = bootstrap.intervals(values, problem)
    (mean,) = bootstrap.intervals(leaves, problem, _inverse)
    found = zip(range(1, LONGEST + 1), at.sum(axis=0).tolist(), by_dwell, strict=True)
    return mean, hazard, tuple(Hazard(*one) for one in found if one[1])


def _inverse(means: np.ndarray) -> np.ndarray:
    return np.divide(1.0, means, out=np.full_like(means, np.nan), where=means > 0)


def _g_statistic(
    at_risk: Float[np.ndarray, "n dwells"], left: Float[np.ndarray, "n dwells"]
) -> Float[np.ndarray, " n"]:
    """Twice the gain in log-likelihood of one hazard a dwell over one hazard."""
    by_dwell = _binomial(at_risk, left).sum(axis=1)
    common = _binomial(at_risk.sum(axis=1), left.sum(axis=1))
    return 2 * (by_dwell - common)


def _binomial(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return _xlogx(k) + _xlogx(n - k) - _xlogx(n)


def _log_likelihood(counts: Float[np.ndarray, "contexts symbols"]) -> float:
    return float(_xlogx(counts).sum() - _xlogx(counts.sum(axis=1)).sum())


def _xlogx(x: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, x, 1.0))


def _redraw(
    sequences: Sequences, null: markov.Markov, n_draws: int, rng: np.random.Generator
) -> list[Sequences]:
    """Sets of traces from the null, with the first labels and the length limit of these."""
    n_labels, n_steps = sequences.n_labels, sequences.label.shape[1]
    first = np.tile(sequences.label[:, 0], n_draws)
    label, ended = simulate.draw_labels(null, first, n_labels, n_steps, rng)
    no_x = np.zeros((len(sequences), n_steps, 0))
    return [
        simulate.pack(one, no_x, over, n_labels, 1)
        for one, over in zip(np.split(label, n_draws), np.split(ended, n_draws), strict=True)
    ]
