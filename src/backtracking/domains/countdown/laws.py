"""The writer's own law of what comes next: exact P(next sentence state | prefix).

What the writer may do is a function of what it has written: which numbers it stands on, which were
tried from there, and which sets it has seen. From the first sentence on that it would not write
there the law is not defined (NaN). The cut after `max_steps` equations is no part of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backtracking.domains.countdown.language import STATE_BY_FORM, Said
from backtracking.domains.countdown.writer import Policy
from backtracking.labels.states import STATES, UNPARSED
from backtracking.records.posteriors import END, Laws

SYMBOLS = (*STATES, UNPARSED, END)


def laws_of(
    heard: Sequence[Said | None], numbers: tuple[int, ...], target: int, policy: Policy
) -> Laws:
    """P(what comes next) after each sentence of a trace.

    Args:
        heard: its sentences; None where one is none of the writer's.
        numbers, target: of the problem.
        policy: the probabilities that it was, or should have been, written with.
    """
    p = np.full((len(heard), len(SYMBOLS)), np.nan)
    reader, able = _Reader(numbers, target, policy), {"intro": 1.0}
    for row, said in enumerate(heard):
        if said is None or not able.get(said.form) or not reader.takes(said):
            break
        able = reader.law_after(said.form)
        p[row] = 0.0
        for form, probability in able.items():
            p[row, SYMBOLS.index(STATE_BY_FORM.get(form, END))] += probability
    return Laws(SYMBOLS, p)


@dataclass
class _Node:
    used: tuple[int, ...]
    tried: set[int] = field(default_factory=set)


@dataclass
class _Reader:
    """What a reader of a written search knows of its writer."""

    numbers: tuple[int, ...]
    target: int
    policy: Policy
    path: list[_Node] = field(default_factory=lambda: [_Node(())])
    seen: set[frozenset[int]] = field(default_factory=set)

    def takes(self, said: Said) -> bool:
        """Goes where a sentence leads; False where the writer would name other numbers."""
        n = said.numbers
        if n.get("t", self.target) != self.target:
            return False
        if said.form in ("start", "step"):
            return n.get("v", 0) == self.total and self._adds(n["n"], n.get("r"))
        if said.form in ("over", "short"):
            return n["r"] == self.total and self._turns()
        if said.form == "again":
            last = self.path[-1].used[-1]
            return (n["v"], n["n"], n["r"]) == (self.total - last, last, self.total)
        return said.form != "back" or n["v"] == self.total

    @property
    def total(self) -> int:
        """Of the numbers that the search stands on; 0 where nothing is left to try."""
        return sum(self.path[-1].used) if self.path else 0

    def law_after(self, form: str) -> Mapping[str, float]:
        """Probabilities of the next form."""
        match form:
            case "intro" | "restart":
                return {"start": 1.0}
            case "start" | "back":
                return {"step": 1.0}
            case "over" | "short":
                back = "back" if self.total else "restart"
                return {back if self.path else "stuck": 1.0}
            case "found" | "stuck":
                return {END: 1.0}
            case "idle":
                return self._onward(1.0)
        return self._action()

    def _action(self) -> Mapping[str, float]:
        """What is done at an equation."""
        if self.total == self.target:
            return {"found": 1.0}
        if self.total > self.target or not self._untried(self.path[-1]):
            turn = "over" if self.total > self.target else "short"
            return {turn: self.policy.p_notice, **self._onward(1 - self.policy.p_notice)}
        return {"idle": self.policy.p_idle, **self._onward(1 - self.policy.p_idle)}

    def _onward(self, share: float) -> dict[str, float]:
        again = self.policy.p_again if self._untried(self.path[-1]) else 1.0
        return {"again": share * again, "step": share * (1 - again)}

    def _adds(self, number: int, total: int | None) -> bool:
        node = self.path[-1]
        if number not in (self._unseen(node) or self._untried(node)):
            return False
        node.tried.add(number)
        self.path.append(_Node((*node.used, number)))
        self.seen.add(frozenset(self.path[-1].used))
        return total in (None, self.total)

    def _turns(self) -> bool:
        self.path.pop()
        while self.path and not (self._unseen(self.path[-1]) and self.total < self.target):
            self.path.pop()
        return True

    def _untried(self, node: _Node) -> list[int]:
        return [n for n in self.numbers if n not in node.used and n not in node.tried]

    def _unseen(self, node: _Node) -> list[int]:
        untried = self._untried(node)
        return [n for n in untried if frozenset((*node.used, n)) not in self.seen]
