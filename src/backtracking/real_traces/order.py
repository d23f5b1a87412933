"""How far back a judge's tags remember: chains of several orders on problems not fitted on.

The chains and their smoothing are those of `transitions`. Every problem is held out once, and the
next one, in the order of their names, is the dev problem that chooses the smoothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.records.imported import ImportedTrace
from backtracking.records.rows.real_traces import Order, OrderNull
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.transitions import markov, semi_markov
from backtracking.transitions.comparing import compare
from backtracking.transitions.markov import Markov
from backtracking.transitions.registry import OF_LABELS, ORDERS
from backtracking.transitions.scoring import losses
from backtracking.transitions.semi_markov import SemiMarkov
from backtracking.transitions.sequences import Sequences, make_sequences

REFERENCE = "markov_1"
LONGER = ("markov_2", "markov_3", "semi_markov")
"""What may remember more than the tag at hand."""


@dataclass(frozen=True)
class Tagged:
    """Traces as a judge tagged their sentences.

    Attributes:
        sequences: tags as codes; every trace ends.
        trace_ids: the traces.
    """

    sequences: Sequences
    trace_ids: tuple[str, ...]


def tagged(traces: Sequence[ImportedTrace]) -> Tagged:
    """The first annotator's first tag of every sentence."""
    tags = [[one.labels[0] for one in trace.annotations[0].sentences] for trace in traces]
    names = sorted({tag for its in tags for tag in its})
    codes = [np.array([names.index(tag) for tag in its], dtype=np.int64) for its in tags]
    sequences = make_sequences(
        codes,
        [np.zeros((len(one), 0)) for one in codes],
        [trace.problem_id or trace.trace_id for trace in traces],
        [True] * len(traces),
        len(names),
    )
    return Tagged(sequences, tuple(trace.trace_id for trace in traces))


def orders(traces: Tagged, bootstrap: Bootstrap) -> list[Order]:
    """Every chain of labels, beside the first-order one."""
    sequences = traces.sequences
    ids = np.array(sequences.problem, dtype=object)[:, None]
    problem_of = np.broadcast_to(ids, sequences.label.shape)[sequences.scored]
    found = compare(held_out(sequences), problem_of, REFERENCE, bootstrap)
    return [Order(name, found[name]) for name in OF_LABELS]


def held_out(sequences: Sequences) -> dict[str, Float[np.ndarray, " rows"]]:
    """Losses of every chain on every scored sentence, in their order in the traces."""
    found = {name: np.full(sequences.label.shape, np.nan) for name in OF_LABELS}
    problems = sorted(set(sequences.problem))
    for problem, dev in zip(problems, [*problems[1:], problems[0]], strict=True):
        test, chosen_on = sequences.problem == problem, sequences.problem == dev
        held = sequences[test]
        for name, chain in _chains(sequences[~test & ~chosen_on], sequences[chosen_on]):
            own = np.full(held.label.shape, np.nan)
            own[held.scored] = losses(chain.predict(held), held)
            found[name][test] = own
    return {name: one[sequences.scored] for name, one in found.items()}


def _chains(train: Sequences, dev: Sequences) -> Iterator[tuple[str, Markov | SemiMarkov]]:
    """The chains of all classes; an order has the strengths of the highest, which has them all."""
    strengths = markov.select(train, dev, len(ORDERS) - 1).strengths
    for order, name in enumerate(ORDERS):
        yield name, markov.fit(train, strengths[:order])
    yield "semi_markov", semi_markov.select(train, dev)


def order_null(traces: Tagged, n: int, seed: int) -> list[OrderNull]:
    """Whether a longer memory gains more than it does in traces that have none.

    Traces that differ in their habits, mixed, look as if each remembered more than its last tag. So
    each trace is drawn again among all that have its transitions, each as often: a first-order
    chain, whatever its probabilities, writes all of these equally often.

    Args:
        traces: as tagged.
        n: how often all traces are drawn.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    gains = np.array([_gains(traces.sequences)])
    drawn = np.array([_gains(_redrawn(traces.sequences, rng)) for _ in range(n)])
    p = (1 + (drawn >= gains).sum(axis=0)) / (1 + n)
    return [
        OrderNull(name, float(own), float(its.mean()), float(its.max()), float(one), n)
        for name, own, its, one in zip(LONGER, gains[0], drawn.T, p, strict=True)
    ]


def _gains(sequences: Sequences) -> list[float]:
    mean_by_model = {name: float(one.mean()) for name, one in held_out(sequences).items()}
    return [mean_by_model[REFERENCE] - mean_by_model[name] for name in LONGER]


def _redrawn(sequences: Sequences, rng: np.random.Generator) -> Sequences:
    label = sequences.label.copy()
    for row, length in zip(label, sequences.present.sum(axis=1), strict=True):
        row[:length] = redraw(row[:length], rng)
    return sequences.with_labels(label)


def redraw(path: Int[np.ndarray, " steps"], rng: np.random.Generator) -> list[int]:
    """A path with the same start, end and number of every transition, each such path as likely.

    Every state's last departure is drawn as a random walk's that leads to the end (Wilson 1996),
    all others are shuffled, and the path is walked (Kandel, Matias, Unger and Winkler 1996).
    """
    left: dict[int, list[int]] = defaultdict(list)
    for state, following in zip(path[:-1].tolist(), path[1:].tolist(), strict=True):
        left[state].append(following)
    last = dict(_last_departures(left, int(path[-1]), rng))
    for state, others in left.items():
        if state in last:
            others.remove(last[state])
        rng.shuffle(others)
        others.extend([last[state]] if state in last else [])
    queues = {state: iter(others) for state, others in left.items()}
    found = [int(path[0])]
    for _ in range(len(path) - 1):
        found.append(next(queues[found[-1]]))
    return found


def _last_departures(
    left: dict[int, list[int]], end: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """The tree of last departures, by random walks from which circles are cut."""
    reached = {end}
    for start in left:
        step: dict[int, int] = {}
        state = start
        while state not in reached:
            step[state] = left[state][rng.integers(len(left[state]))]
            state = step[state]
        state = start
        while state not in reached:
            yield state, step[state]
            reached.add(state)
            state = step[state]
