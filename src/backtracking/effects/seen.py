"""Measured arms beside what is known of the decisions that they were read at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from backtracking.records.decisions import Classes, Decisions
from backtracking.records.intervals import Interval
from backtracking.records.measured import (
    ACTION,
    BASELINE,
    MATCHED,
    P_OPEN,
    RANDOM,
    Arm,
    Measured,
    Where,
)
from backtracking.records.rows.arms import ArmKey
from backtracking.statistics.bootstrap import Bootstrap

NO_INTERVAL = Interval(None, None, None, 0)
"""Of what was not measured at all."""


@dataclass(frozen=True)
class Case:
    """Decisions of some kinds, or before some actions.

    Attributes:
        name: as it stands in tables, in the column `kind`.
        by: what tells them.
        members: which of it.
    """

    name: str
    by: Literal["kind", "action"]
    members: tuple[str, ...]

    def mask(self, decisions: Decisions) -> Bool[np.ndarray, " decisions"]:
        """Which of the decisions are of the case."""
        return np.isin(getattr(decisions, self.by), self.members)


@dataclass(frozen=True)
class Cases:
    """The cases of a study.

    Attributes:
        listed: what tables have a row for, one kind each; where no kind is known, one action.
        live, dead: the negative and the positive class, at which effects are claimed.
    """

    listed: tuple[Case, ...]
    live: Case
    dead: Case

    @property
    def claimed(self) -> tuple[tuple[Case, int], ...]:
        """Where P(an opener) is claimed to move, and the sign of the dose that moves it so."""
        return (self.live, 1), (self.dead, -1)


def cases_of(decisions: Decisions, classes: Classes) -> Cases:
    """The cases that occur among decisions, in the domain's order, and both classes."""
    found = [Case(kind, "kind", (kind,)) for kind in decisions.open().kinds()]
    if not found and classes.by == "action":
        known = (*classes.positive, *classes.negative)
        found = [Case(one, "action", (one,)) for one in known if (decisions.action == one).any()]
    live, dead = (
        Case(" or ".join(members), classes.by, members)
        for members in (classes.negative, classes.positive)
    )
    return Cases(tuple(found), live, dead)


@dataclass(frozen=True)
class Seen:
    """One run of one model.

    Attributes:
        measured: the arms, the baseline first.
        decisions: what its columns are, in their order.
        prefix_problem: problem of each prefix.
    """

    measured: Measured
    decisions: Decisions
    prefix_problem: tuple[str, ...]

    @property
    def target(self) -> str:
        """Role of the model."""
        return self.measured.target

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What each row is."""
        return self.measured.arms

    @property
    def main(self) -> list[Arm]:
        """The arms along the study's own directions, at decisions at dose 1, one a direction."""
        at_one = self.measured.arms_of(dose=1.0, where="decision")
        return [arm for arm in at_one if arm.group in (MATCHED, ACTION)]

    def has(self, case: Case) -> bool:
        """Whether any decision is of a case."""
        return bool(case.mask(self.decisions).any())

    def problems(self, case: Case) -> list[str]:
        """The problem of each decision of a case."""
        return list(self.decisions.problem[case.mask(self.decisions)])

    def p(self, arm: Arm, case: Case) -> Float[np.ndarray, " decisions"]:
        """P(an opener) under an arm at the decisions of a case."""
        return self.measured.values(P_OPEN, arm)[case.mask(self.decisions)]

    def change(self, arm: Arm, case: Case) -> Float[np.ndarray, " decisions"]:
        """The same minus the baseline."""
        return self.p(arm, case) - self.p(self.arms[0], case)

    def nulls(self, dose: float, group: str = RANDOM) -> list[Arm]:
        """The arms of a null at a dose, at decisions."""
        return self.measured.arms_of(group=group, dose=dose, where="decision")

    def along(self, role: str, dose: float) -> Arm | None:
        """The arm along a role's matched direction, at decisions; None where it was not run."""
        for arm in self.measured.arms_of(group=MATCHED, dose=dose, where="decision"):
            if arm.place is not None and arm.place.role == role:
                return arm
        return None

    def doses_of(self, arm: Arm, where: Where = "decision") -> list[Arm]:
        """The arms along the same direction, at every dose."""
        return [
            one
            for one in self.measured.arms_of(group=arm.group, where=where)
            if (one.name, one.place) == (arm.name, arm.place)
        ]

    def joined(self, other: "Seen") -> "Seen":
        """These arms, and then another run's on the same decisions."""
        both = self.measured.with_arms_of(other.measured)
        return Seen(both, self.decisions, self.prefix_problem)

    def with_only(self, arms: Sequence[Arm]) -> "Seen":
        """Some of the arms, in the order given."""
        rows = [self.measured.row(arm) for arm in arms]
        return Seen(self.measured.with_only(rows), self.decisions, self.prefix_problem)


def see(measured: Measured, decisions: Decisions) -> Seen:
    """A run with the study's decisions that it was read at.

    Raises:
        UserError: where it was read at others.
    """
    problem_by_trace = dict(zip(decisions.trace_id, decisions.problem, strict=True))
    chosen = decisions[decisions.rows_of(measured.decisions)]
    problems = tuple(problem_by_trace[name] for name in measured.prefixes)
    return Seen(measured, chosen, problems)


def mean_change(seen: Seen, arm: Arm, case: Case, bootstrap: Bootstrap) -> Interval:
    """Mean paired change of P(an opener) at the decisions of a case, with its interval."""
    if not seen.has(case):
        return NO_INTERVAL
    return bootstrap.intervals(seen.change(arm, case), seen.problems(case))[0]


def key_of(target: str, arm: Arm) -> ArmKey:
    """What an arm of a model is, as it stands in tables."""
    return ArmKey(target, arm.name, arm.dose, arm.where)


def is_baseline(arm: Arm) -> bool:
    """Whether an arm changes nothing."""
    return arm.group == BASELINE
