"""P(kind of the decision ahead | prefix) for every token of a trace: the ceiling of every probe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from backtracking.domains.organism.solver import KINDS, decision_kind
from backtracking.domains.organism.states import Reading, Replay

DEAD = ("over", "exhausted")
"""Kinds that a reader of the trace recognises, and that the policy acts on."""


@dataclass
class _KindReplay(Replay):
    """A replay whose `p_dead` is the posterior of one kind.

    Attributes:
        kind: the kind of decision point whose posterior is read.
    """

    kind: str = ""

    def _is_dead(self, total: int, left: list[int]) -> float:
        return float(decision_kind(total, self.target, tuple(left)) == self.kind)


@dataclass(frozen=True)
class Decisions:
    """The decision points of one trace, and what each prefix tells of them.

    Attributes:
        p_kind: P(kind of the decision ahead | words up to and including this one) by word and kind
            of `solver.KINDS`; NaN where no decision is ahead.
        start, end: half-open word range of each comparison, at whose end the decision falls.
        pending: first word at which it is the decision ahead.
        known: first word from which on P(dead | prefix) is 0 or 1, t*.
    """

    p_kind: Float[np.ndarray, "words kinds"]
    start: Int[np.ndarray, " decisions"]
    end: Int[np.ndarray, " decisions"]
    pending: Int[np.ndarray, " decisions"]
    known: Int[np.ndarray, " decisions"]


def read_decisions(words: list[str], numbers: tuple[int, ...], target: int) -> Decisions:
    """The decisions of a trace under the policy, in their order."""
    readings_by_kind = {kind: _KindReplay(numbers, target, kind=kind).read(words) for kind in KINDS}
    columns = [[p for one in its for p in one.p_dead] for its in readings_by_kind.values()]
    p_kind = np.array(columns, dtype=np.float64).T.reshape(-1, len(KINDS))
    bounds = _bounds(readings_by_kind[DEAD[0]])
    p_dead = p_kind[:, [KINDS.index(kind) for kind in DEAD]].sum(axis=1)
    uncertain = ~np.isin(p_dead, (0.0, 1.0))
    known = [
        pending + int((uncertain[pending:end].nonzero()[0] + 1).max(initial=0))
        for _, end, pending in bounds
    ]
    start, end, pending = np.array(bounds, dtype=np.int64).reshape(-1, 3).T
    return Decisions(p_kind, start, end, pending, np.array(known, dtype=np.int64))


def _bounds(readings: Sequence[Reading]) -> list[tuple[int, int, int]]:
    """Start, end and first pending word of each comparison; a report is about the one before."""
    bounds, pending = [], 0
    for reading in readings:
        name = reading.form.name if reading.form else ""
        if name == "compare":
            bounds.append((reading.start, reading.end, pending))
        if name in ("compare", "check"):
            pending = reading.end
    return bounds
