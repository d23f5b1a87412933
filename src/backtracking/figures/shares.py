"""Shares of labelled sentences with intervals by problem, as the figures of labels take them."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from backtracking.figures.labels import Shares
from backtracking.labels.agreement import AGREEMENT_MEASURES, agreement_measures, confusion
from backtracking.labels.states import STATES
from backtracking.records.intervals import Interval
from backtracking.records.posteriors import END
from backtracking.records.sentences import Sentence
from backtracking.statistics.bootstrap import Bootstrap

Pair = tuple[str, str, str]
"""What a sentence is, what is true of it, and its problem."""


def following(
    sentences: Sequence[Sentence], labeller: str, problem_by_trace: Mapping[str, str],
    ended: Mapping[str, bool], bootstrap: Bootstrap,
) -> Shares | None:  # fmt: skip
    """What follows the sentences of each state, the end of a trace included.

    What follows the last sentence of a trace that was cut is not known, and counts nowhere.

    Args:
        sentences: in the order of their traces.
        labeller: whose states; sentences that it does not label are passed over.
        problem_by_trace: of every trace.
        ended: whether a trace was ended by its writer.
        bootstrap: by problem.
    """
    states: dict[str, list[str]] = {}
    for one in sentences:
        if labeller in one.label_by:
            states.setdefault(one.trace_id, []).append(one.label_by[labeller])
    found: list[Pair] = []
    for trace, its in states.items():
        its = [*its, END] if ended.get(trace) else its
        found += [(a, b, problem_by_trace[trace]) for a, b in pairwise(its)]
    return shares(found, bootstrap)


def beside(
    sentences: Sequence[Sentence], first: str, second: str, problem_by_trace: Mapping[str, str],
    bootstrap: Bootstrap,
) -> tuple[Shares | None, Interval | None]:  # fmt: skip
    """What the second labeller says of each state of the first, and F1 of backtracking."""
    both = [
        (one.label_by[first], one.label_by[second], problem_by_trace[one.trace_id])
        for one in sentences
        if first in one.label_by and second in one.label_by
        and {one.label_by[first], one.label_by[second]} <= set(STATES)
    ]  # fmt: skip
    if not both:
        return None, None
    a, b, problems = zip(*both, strict=True)
    measures = bootstrap.intervals(confusion(a, b), problems, agreement_measures)
    return shares(both, bootstrap), measures[AGREEMENT_MEASURES.index("f1")]


def shares(pairs: Sequence[Pair], bootstrap: Bootstrap) -> Shares | None:
    """The shares of a list of pairs; None where it is empty."""
    if not pairs:
        return None
    order = (*STATES, "unparsed", END)
    rows, columns = (
        tuple(sorted({pair[end] for pair in pairs}, key=order.index)) for end in (0, 1)
    )
    cells, n = [], []
    for name in rows:
        here = [pair for pair in pairs if pair[0] == name]
        hits = np.array([[pair[1] == one for one in columns] for pair in here], dtype=float)
        cells.append(tuple(bootstrap.intervals(hits, [pair[2] for pair in here])))
        n.append(len(here))
    return Shares(rows, columns, tuple(cells), tuple(n))
