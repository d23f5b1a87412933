"""P(kind of the decision ahead | prefix) for every token of a trace: the ceiling of every probe."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backtracking.domains.organism.solver import KINDS, decision_kind
from backtracking.domains.organism.states import Reading, Replay
from backtracking.records.posteriors import Posteriors

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


def posteriors_of(
    words: list[str], numbers: tuple[int, ...], target: int, first: int = 0
) -> Posteriors:
    """What each prefix of a trace tells of its decisions under the policy.

    Args:
        words: of the trace, without the prompt.
        numbers, target: the problem.
        first: length of the prompt, from which positions count.
    """
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
    places = np.array([*zip(*bounds, strict=True), known], dtype=np.int64).reshape(4, -1) + first
    return Posteriors(tuple(KINDS), first, p_kind, *places)


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
