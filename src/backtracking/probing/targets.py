"""What probes are asked at decisions: the action, and kinds of dead ends against what is live."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from backtracking.records.decisions import Classes, Decisions

ACTION = "backtracks"
"""The target that is the next action: it turns. All others are kinds, by their names."""


@dataclass(frozen=True)
class Target:
    """What a probe tells.

    Attributes:
        name: `ACTION`, or a kind.
        asked: kinds among which it is asked.
    """

    name: str
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One target on the decision points that it is asked of.

    Attributes:
        target: its name.
        rows: numbers of these decisions among all.
        is_positive: the answer at each.
    """

    target: str
    rows: Int[np.ndarray, " rows"]
    is_positive: Bool[np.ndarray, " rows"]


def targets_of(decisions: Decisions, classes: Classes) -> tuple[Target, ...]:
    """The action, then the dead kinds that occur, each against what is live.

    Where the study contrasts kinds, these are the positive ones and the hidden dead ends; where it
    contrasts actions, all dead ends.
    """
    solved, dead, live = (decisions.kinds_that(standing=one) for one in ("solved", "dead", "live"))
    unsolved = tuple(kind.name for kind in decisions.known_kinds if kind.name not in solved)
    visible = decisions.kinds_that(standing="dead", visible=True)
    kinds = {*dead} - {*visible}
    kinds |= {*classes.positive} if classes.by == "kind" else {*visible}
    return (
        Target(ACTION, unsolved),
        *(Target(kind, (kind, *live)) for kind in decisions.kinds() if kind in kinds),
    )


def make_task(target: Target, decisions: Decisions) -> Task:
    """The decisions that a target is asked of, and the answers."""
    if target.name == ACTION:
        solved = np.isin(decisions.kind, decisions.kinds_that(standing="solved"))
        rows = np.flatnonzero(~solved & (decisions.action != None))  # noqa: E711
        return Task(target.name, rows, decisions.action[rows] == "turns")
    rows = np.flatnonzero(np.isin(decisions.kind, target.asked))
    return Task(target.name, rows, decisions.kind[rows] == target.name)
