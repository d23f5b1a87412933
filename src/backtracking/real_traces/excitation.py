"""Does backtracking breed backtracking? Pairs of events by distance, and a self-exciting process.

The process is Hawkes's (1971) in discrete time. With x_t whether sentence t is an event,

    p_t = (1 - a) r_t + a h_t,    h_t = (1 - b) (x_{t-1} + b x_{t-2} + b^2 x_{t-3} + ...),

where a is the share of an event's probability that comes from earlier events, and 1 / (1 - b) is
how many sentences back the kernel reaches on average. r_t is one rate r for all, or, since traces
that differ in their rates look as if their events bred one another, the trace's own so far:
r_t = (c + w r) / (t + w), with c events in the t sentences before, and a prior of w sentences.

Events that become more frequent along all traces look so, too. So the kernel is also held against a
rate r(t) of each tenth of a trace, common to all; then the own rate is a multiple of that,
r_t = r(t) (c + w r) / (sum of r(s) over s < t + w r), which is the above where r(t) is r.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.signal import lfilter

from backtracking.real_traces.stability import WAIT
from backtracking.records.imported import ImportedTrace, LabelledSentence
from backtracking.records.rows.real_traces import Events, Excited, Lagged
from backtracking.statistics.bootstrap import Bootstrap

LAGS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50))
"""Distances in sentences, both ends included."""

EXCITATIONS = np.arange(0, 1, 0.025)
MEMORIES = np.array([1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48])
PRIORS = np.array([5, 10, 20, 40, 80, 160, np.inf])
"""Values of a, 1 / (1 - b) and w that are tried; an infinite w is one rate for all."""

N_PLACES = 10
"""Parts of a trace, of its whole length, that have a rate each."""

PLACE_PRIOR = 10
"""Sentences at the mean rate that are added to each part's."""

HIGHEST = 0.95
"""Rate above which no own rate goes."""

UNCERTAIN = "uncertainty_management"
"""The judge's tag."""


@dataclass(frozen=True)
class Marked:
    """Traces as rows of zeros and ones.

    Attributes:
        events: what counts.
        x: whether each sentence is an event, by trace.
        trace_ids, problems: of the traces.
    """

    events: Events
    x: tuple[Float[np.ndarray, " _"], ...]
    trace_ids: tuple[str, ...]
    problems: tuple[str, ...]


def marked(traces: Sequence[ImportedTrace], events: Events) -> Marked:
    """The events of traces."""

    def is_event(one: LabelledSentence) -> bool:
        return (
            one.text.startswith(WAIT.capitalize()) if events == "wait" else UNCERTAIN in one.labels
        )

    return Marked(
        events,
        tuple(
            np.array([is_event(one) for one in trace.annotations[0].sentences], dtype=float)
            for trace in traces
        ),
        tuple(trace.trace_id for trace in traces),
        tuple(trace.problem_id or trace.trace_id for trace in traces),
    )


def lagged(traces: Marked, bootstrap: Bootstrap) -> list[Lagged]:
    """Pairs at every range of distances, beside what shuffling within each trace gives."""
    return [_lagged(traces, first, last, bootstrap) for first, last in LAGS]


def _lagged(traces: Marked, first: int, last: int, bootstrap: Bootstrap) -> Lagged:
    pairs = np.array([_pairs(x, range(first, last + 1)) for x in traces.x])
    (ratio,) = bootstrap.intervals(pairs, traces.trace_ids, _ratio)
    n_pairs, expected = pairs.sum(axis=0)
    return Lagged(traces.events, first, last, int(n_pairs), float(expected), ratio)


def _pairs(x: Float[np.ndarray, " sentences"], lags: range) -> tuple[float, float]:
    """Pairs of events at some distances, and their mean over all orders of the sentences."""
    n, m = len(x), float(x.sum())
    found = sum(float(x[lag:] @ x[: n - lag]) for lag in lags if lag < n)
    places = sum(max(0, n - lag) for lag in lags)
    return float(found), places * m * (m - 1) / (n * (n - 1)) if n > 1 else 0.0


def _ratio(means: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 1"]:
    undefined = np.full(len(means), np.nan)
    return np.divide(means[:, 0], means[:, 1], out=undefined, where=means[:, 1] > 0)[:, None]


def excited(traces: Marked, bootstrap: Bootstrap) -> Excited:
    """The process on all traces, and its gains on problems that it was not fitted on."""
    flat = np.concatenate(traces.x)
    problem_of = [one for one, x in zip(traces.problems, traces.x, strict=True) for _ in x]
    table = np.stack([tried(x, flat.mean()) for x in traces.x])

    def fit(share: np.ndarray) -> np.ndarray:
        best = (share @ table.reshape(len(table), -1)).argmin(axis=1)
        excitation, memory, _ = np.unravel_index(best, table.shape[1:])
        return np.stack([EXCITATIONS[excitation], MEMORIES[memory]], axis=1)

    (rate,) = bootstrap.intervals(flat, problem_of)
    excitation, memory = bootstrap.intervals(np.eye(len(table)), traces.problems, fit)
    gains = bootstrap.intervals(_gains(traces), problem_of)
    return Excited(traces.events, int(flat.sum()), len(flat), rate, excitation, memory, *gains)


def tried(
    x: Float[np.ndarray, " sentences"], rate: float | Float[np.ndarray, " sentences"]
) -> Float[np.ndarray, "excitations memories priors"]:
    """-log p of a trace by the process, at all that is tried, in nats."""
    p = probability(
        x,
        rate,
        EXCITATIONS[:, None, None, None],
        MEMORIES[:, None, None],
        PRIORS[:, None],
    )
    return loss(x, p).sum(axis=-1)


def probability(
    x: Float[np.ndarray, " sentences"],
    rate: float | Float[np.ndarray, " sentences"],
    excitation: np.ndarray,
    memory: np.ndarray,
    prior: np.ndarray,
) -> Float[np.ndarray, "... sentences"]:
    """p_t of every sentence; what is tried has a last axis of its own."""
    before = np.concatenate([[0.0], x[:-1]])
    ages = 1 - 1 / np.ravel(memory)
    kernel = np.stack([lfilter([1 - age], [1, -age], before) for age in ages])
    rates = np.broadcast_to(rate, x.shape)
    expected = np.concatenate([[0.0], np.cumsum(rates)[:-1]])
    multiple = 1 + (np.cumsum(before) - expected) / (expected + prior * rates.mean())
    own_rate = np.minimum(rates * multiple, HIGHEST)
    shaped = kernel.reshape(*memory.shape[:-1], len(x))
    return (1 - excitation) * own_rate + excitation * shaped


def loss(
    x: Float[np.ndarray, " sentences"], p: Float[np.ndarray, "... sentences"]
) -> Float[np.ndarray, "... sentences"]:
    """-log p of every sentence, in nats."""
    return -np.log(np.where(x == 1, p, 1 - p))


def _gains(traces: Marked) -> Float[np.ndarray, "sentences 4"]:
    """Nats that own rate and kernel gain on each sentence of problems that were held out."""
    problem = np.array(traces.problems)
    gains = [np.empty((0, 4))] * len(problem)
    for held in sorted(set(problem)):
        train = [x for x, one in zip(traces.x, problem, strict=True) if one != held]
        tests = [int(one) for one in np.flatnonzero(problem == held)]
        flat, places = (
            _held_out(train, [traces.x[one] for one in tests], it) for it in (1, N_PLACES)
        )
        for number, one, other in zip(tests, flat, places, strict=True):
            columns = [one[less] - one[more] for less, more in _COMPARED]
            gains[number] = np.stack([*columns, other["own rate"] - other["both"]], axis=1)
    return np.concatenate(gains)


def _held_out(
    train: Sequence[np.ndarray], test: Sequence[np.ndarray], n_places: int
) -> list[dict[str, Float[np.ndarray, " sentences"]]]:
    """Losses on traces by every model of `_ALLOWED`, fitted on others, with so many rates."""
    by_place = profile(train, n_places)
    cost = np.sum([tried(x, by_place[_places(x, n_places)]) for x in train], axis=0)
    chosen = {name: _best(cost, allowed) for name, allowed in _ALLOWED.items()}
    return [
        {
            name: loss(x, probability(x, by_place[_places(x, n_places)], *one))
            for name, one in chosen.items()
        }
        for x in test
    ]


def profile(train: Sequence[np.ndarray], n_places: int) -> Float[np.ndarray, " places"]:
    """The rate of events in each part of a trace; of one part, that of all sentences."""
    x = np.concatenate(train)
    place = np.concatenate([_places(one, n_places) for one in train])
    events, n = np.bincount(place, x, n_places), np.bincount(place, minlength=n_places)
    return (events + PLACE_PRIOR * x.mean()) / (n + PLACE_PRIOR)


def _places(x: np.ndarray, n_places: int) -> Int[np.ndarray, " sentences"]:
    """The part of the trace that each sentence stands in."""
    return np.arange(len(x)) * n_places // len(x)


_NO_KERNEL = (EXCITATIONS == 0)[:, None, None]
_ONE_RATE = np.isinf(PRIORS)[None, None, :]
_ALLOWED = {
    "one rate": _NO_KERNEL & _ONE_RATE,
    "own rate": _NO_KERNEL,
    "kernel": _ONE_RATE,
    "both": np.array(True),
}
"""What each model may try."""

_COMPARED = (("one rate", "own rate"), ("one rate", "kernel"), ("own rate", "both"))


def _best(cost: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Excitation, memory and prior of the lowest cost among the allowed, each with an axis."""
    where = np.unravel_index(np.where(allowed, cost, np.inf).argmin(), cost.shape)
    values = zip((EXCITATIONS, MEMORIES, PRIORS), where, strict=True)
    excitation, memory, prior = (one[[place]] for one, place in values)
    return excitation, memory, prior
