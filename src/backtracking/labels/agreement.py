"""How far two labellers agree."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from backtracking.labels.states import STATES
from backtracking.records.decoding import INLINED, may_be_absent

AGREEMENT_MEASURES = ("kappa", "kappa_positive", "f1")
"""Columns of `agreement_measures`."""


@dataclass(frozen=True)
class Agreement:
    """How far two labellers agree on the same sentences; None where a number is undefined.

    Attributes:
        n: number of sentences.
        kappa: Cohen's kappa over all states; undefined where both use one and the same state only.
        kappa_positive: the same for the positive state against all others.
        f1: F1 of the positive state, the first labeller taken as true; undefined where neither
            labeller uses it.
    """

    n: int
    kappa: float | None
    kappa_positive: float | None
    f1: float | None


NOT_COMPARED = Agreement(0, None, None, None)
"""Where there is nothing to compare."""


@dataclass(frozen=True)
class Metrics:
    """What the labels of a study are worth: metrics.json of the stage `label`.

    Attributes:
        agreement: of the rules with the exact labels.
        n_sentences: all sentences.
        n_compared: those that both label.
        n_unparsed: those whose exact label says that they say nothing.
        span_coverage: share of the generated tokens that are in a sentence.
        online_precision: share of the tokens at which the online rule says, from what stands before
            them alone, that something is decided, where it is; None where the rule never does.
        online_recall: share of the decisions at which it does; None without any.
        n_unmatched_events: events without a neutral point that is like them (`matching`); None
            where the domain knows its events itself.
    """

    agreement: Agreement = field(metadata=INLINED)
    n_sentences: int
    n_compared: int
    n_unparsed: int
    span_coverage: float
    online_precision: float | None = may_be_absent()
    online_recall: float | None = may_be_absent()
    n_unmatched_events: int | None = may_be_absent()

    @property
    def told(self) -> str:
        """The least of it, in a line."""
        kappa = self.agreement.kappa
        agreed = "" if kappa is None else f", rules against exact labels: kappa {kappa:.3f}"
        return f"{self.n_sentences} sentences, {self.n_compared} labelled twice{agreed}"


def agreement(
    first: Sequence[str], second: Sequence[str], positive: str = "backtracking"
) -> Agreement:
    """Agreement of two labellers, sentence by sentence.

    Args:
        first: labels taken as true for F1.
        second: labels of the other labeller, in the same order.
        positive: the state of the binary measures.

    Raises:
        ValueError: where the two do not label the same sentences, or a label is no state.
    """
    measures = agreement_measures(confusion(first, second).sum(axis=0, keepdims=True), positive)
    known = [None if np.isnan(measure) else float(measure) for measure in measures[0]]
    return Agreement(len(first), *known)


def confusion(first: Sequence[str], second: Sequence[str]) -> Float[np.ndarray, "rows cells"]:
    """One row per sentence with a single 1 in the cell (first label, second label) of `STATES`.

    Sums or means over rows are what `agreement_measures` reads, so agreement has intervals by
    `statistics.Bootstrap.intervals(confusion(...), problem_ids, agreement_measures)`.

    Raises:
        ValueError: where the two do not label the same sentences, or a label is no state.
    """
    if len(first) != len(second):
        raise ValueError(
            f"Expected two labels for every sentence, found {len(first)} and {len(second)} labels."
        )
    unknown = sorted(set(first).union(second) - set(STATES))
    if unknown:
        raise ValueError(f"Expected sentence states, found {unknown}; the states are {STATES}.")
    code_by_state = {state: code for code, state in enumerate(STATES)}
    cells = np.zeros((len(first), len(STATES) ** 2))
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        cells[row, code_by_state[a] * len(STATES) + code_by_state[b]] = 1
    return cells


def agreement_measures(
    cells: Float[np.ndarray, "n cells"], positive: str = "backtracking"
) -> Float[np.ndarray, "n 3"]:
    """Kappa, kappa of the positive state and its F1, for each of n confusion tables; NaN undefined.

    Args:
        cells: counts or shares, one confusion table a row, as `confusion` orders them.
        positive: the state of the binary measures.
    """
    tables = cells.reshape(-1, len(STATES), len(STATES))
    code = STATES.index(positive)
    hits = tables[:, code, code]
    first, second = tables[:, code].sum(axis=1), tables[:, :, code].sum(axis=1)
    rest = tables.sum(axis=(1, 2)) - first - second + hits
    binary = np.stack([hits, first - hits, second - hits, rest], axis=1).reshape(-1, 2, 2)
    used = first + second
    f1 = np.divide(2 * hits, used, out=np.full_like(used, np.nan), where=used > 0)
    return np.stack([_cohen_kappa(tables), _cohen_kappa(binary), f1], axis=1)


def _cohen_kappa(tables: Float[np.ndarray, "n labels labels"]) -> Float[np.ndarray, " n"]:
    n = tables.sum(axis=(1, 2))
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
    room = n**2 - by_chance
    excess = n * np.trace(tables, axis1=1, axis2=2) - by_chance
    return np.divide(excess, room, out=np.full_like(room, np.nan), where=room > 1e-12 * n**2)
