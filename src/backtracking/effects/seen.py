"""Measured arms beside what is known of the decisions that they were read at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from backtracking.records.decisions import Classes, Decisions
from backtracking.records.intervals import Interval
from backtracking.records.measured import (
    ACTION,
    BASELINE,
    BESIDE,
    COVARIANCE,
    ISOTROPIC,
    MATCHED,
    P_BACK,
    P_LEGAL,
    P_OPEN,
    RANDOM,
    RETRAINED,
    SIGN_FLIPPED,
    Arm,
    Edit,
    Measured,
    Where,
)
from backtracking.records.rows.arms import ArmKey, Endpoint
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Flaw
from backtracking.statistics.retrained import retrained_interval

NO_INTERVAL = Interval(None, None, None, 0)
"""Of what was not measured at all."""

NULLS = (ISOTROPIC, COVARIANCE, SIGN_FLIPPED)
"""All nulls of the affine edit."""

TO_BEAT = (ISOTROPIC, COVARIANCE)
"""Those that are to be beaten; of a study that has none of them, the random directions are."""

AFFINE: Edit = "set_projection"
"""The primary edit: what lies along a direction is set to a class's mean."""

DISPLACED: Mapping[str, str] = {AFFINE: "displace"}
"""By which edit the nulls of an edit displace; of all others, by the same."""

PATCH: Edit = "patch"
"""The edit that writes the donor's state."""


@dataclass(frozen=True)
class Case:
    """Decisions of some kinds, before some actions, or of matched pairs.

    Attributes:
        name: as it stands in tables, in the column `kind`.
        by: what tells them.
        members: which of it.
    """

    name: str
    by: Literal["kind", "action", "event"]
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
    def donors(self) -> Case:
        """Live decisions where their donors were read in their stead, which are dead."""
        return replace(self.live, name=self.dead.name)

    @property
    def claimed(self) -> tuple[tuple[Case, int], ...]:
        """Where P(an opener) is claimed to move, and the sign of the dose that moves it so."""
        return (self.live, 1), (self.dead, -1)


def cases_of(decisions: Decisions, classes: Classes) -> Cases:
    """The cases that occur among decisions, in the domain's order, and both classes."""
    found = [Case(kind, "kind", (kind,)) for kind in decisions.open().kinds()]
    if not found and classes.by != "kind":
        known = (Case(one, classes.by, (one,)) for one in (*classes.positive, *classes.negative))
        found = [case for case in known if case.mask(decisions).any()]
    live, dead = (
        Case(" or ".join(members), classes.by, members)
        for members in (classes.negative, classes.positive)
    )
    return Cases(tuple(found), live, dead)


@dataclass(frozen=True)
class Trust:
    """How far a run may be believed.

    Attributes:
        opens_tells: whether the openers cover enough of backtracking for P(an opener) to stand for
            it; where they do not, it is no test, and stands in for nothing.
        is_exact: whether P(backtrack) is computed, and not drawn: only then P(an opener) stands in
            for it, which bounds it.
        kinds_hold: whether the kinds that are contrasted are what a person who read some of them
            says; so where nobody did.
    """

    opens_tells: bool = True
    is_exact: bool = True
    kinds_hold: bool = True


@dataclass(frozen=True)
class Seen:
    """One run of one model.

    Attributes:
        measured: the arms, the baseline first.
        decisions: what its columns are, in their order.
        prefix_problem: problem of each prefix.
        hides_baseline: whether tables that have a row an arm leave the baseline out.
        trust: how far it may be believed.
    """

    measured: Measured
    decisions: Decisions
    prefix_problem: tuple[str, ...]
    hides_baseline: bool = False
    trust: Trust = Trust()

    @property
    def flaw(self) -> Flaw:
        """Why nothing that is claimed of the run can be told from it."""
        if not self.trust.kinds_hold:
            return "kinds"
        return "" if self.endpoint == "P_back" or self.trust.opens_tells else "openers"

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
        """The arms that add the study's own directions, at decisions at dose 1, one a direction."""
        at_one = self.measured.arms_of(dose=1.0, where="decision")
        return [arm for arm in at_one if arm.group in (MATCHED, ACTION) and arm.edit == "add"]

    @property
    def endpoint(self) -> Endpoint:
        """What is read at decisions: P(backtrack) proper where it was computed."""
        found = self.measured.arrays.get(P_BACK)
        return "P_open" if found is None or np.isnan(found.values[0]).all() else "P_back"

    @cached_property
    def p_at_decisions(self) -> Float[np.ndarray, "arms decisions"]:
        """The endpoint under every arm; NaN where the arm was not run.

        Of a null, P(backtrack) is read for those that open it most, and some others. Where it is
        exact, the change of P(an opener), which moves farther, stands in for the rest; where it is
        drawn, nothing does, and the null is the strongest and as many others.
        """
        opens = self.measured.values(P_OPEN)
        if self.endpoint == "P_open":
            return opens
        back = self.measured.values(P_BACK)
        if not self.trust.is_exact:
            return back
        return np.where(np.isnan(back), back[:1] + opens - opens[:1], back)

    @cached_property
    def _row(self) -> dict[Arm, int]:
        return {arm: row for row, arm in enumerate(self.arms)}

    @cached_property
    def _like(self) -> dict[tuple[str, float, str], list[Arm]]:
        found: dict[tuple[str, float, str], list[Arm]] = {}
        for arm in self.measured.arms_of(where="decision"):
            found.setdefault((arm.group, arm.dose, arm.edit), []).append(arm)
        return found

    def has(self, case: Case) -> bool:
        """Whether any decision is of a case."""
        return bool(case.mask(self.decisions).any())

    def problems(self, case: Case) -> list[str]:
        """The problem of each decision of a case."""
        return list(self.decisions.problem[case.mask(self.decisions)])

    def p(self, arm: Arm, case: Case) -> Float[np.ndarray, " decisions"]:
        """P(backtrack) under an arm at the decisions of a case."""
        return np.asarray(self.p_at_decisions[self._row[arm], case.mask(self.decisions)])

    def change(self, arm: Arm, case: Case) -> Float[np.ndarray, " decisions"]:
        """The same minus the baseline."""
        return self.p(arm, case) - self.p(self.arms[0], case)

    def legal(self, arm: Arm, case: Case | None = None) -> float | None:
        """Mean P(a word that may stand there) at steered decisions of a case, or at all of them.

        None where it was not computed.
        """
        if P_LEGAL not in self.measured.arrays:
            return None
        values = self.measured.values(P_LEGAL)[self._row[arm]]
        chosen = values if case is None else values[case.mask(self.decisions)]
        known = chosen[~np.isnan(chosen)]
        return float(known.mean()) if len(known) else None

    def like(self, arm: Arm, group: str) -> list[Arm]:
        """The other arms of a group that displace as far as an arm does, at the same dose."""
        found = self._like.get((group, arm.dose, arm.edit), [])
        other = DISPLACED.get(arm.edit)
        found = found or (self._like.get((group, arm.dose, other), []) if other else [])
        return [one for one in found if one != arm]

    def null_names(self, arm: Arm) -> tuple[str, ...]:
        """Groups of the nulls that an arm has to beat."""
        found = tuple(group for group in TO_BEAT if self.like(arm, group))
        return found or ((RANDOM,) if self.like(arm, RANDOM) else ())

    def nulls(self, arm: Arm, case: Case) -> dict[str, tuple[float, ...]]:
        """Effects of the nulls that an arm has to beat, by group."""
        return {one: self.null_effects(arm, case, one) for one in self.null_names(arm)}

    def beside(self, arm: Arm, case: Case) -> dict[str, tuple[float, ...]]:
        """The same of those that are told beside it."""
        return {one: self.null_effects(arm, case, one) for one in BESIDE if self.like(arm, one)}

    def null_effects(self, arm: Arm, case: Case, group: str) -> tuple[float, ...]:
        """Mean changes under the arms of a null like an arm, where they were computed."""
        chosen, p = case.mask(self.decisions), self.p_at_decisions
        rows = [self._row[one] for one in self.like(arm, group)]
        changes = p[rows][:, chosen] - p[0, chosen]
        known = changes[~np.isnan(changes).all(axis=1)]
        return tuple(np.nanmean(known, axis=1).tolist())

    def along(self, role: str, dose: float, edit: Edit = "add") -> Arm | None:
        """The arm along a role's matched direction, at decisions; None where it was not run."""
        for arm in self.measured.arms_of(group=MATCHED, dose=dose, where="decision"):
            if arm.edit == edit and arm.place is not None and arm.place.role == role:
                return arm
        return None

    def primary(self, role: str, sign: int) -> Arm | None:
        """The arm by which a role's direction is judged: affine; added, where that was not run."""
        affine = self.along(role, float(sign), AFFINE)
        return affine or self.along(role, float(sign))

    def doses_of(self, arm: Arm, where: Where = "decision") -> list[Arm]:
        """The arms that add the same direction, at every dose."""
        return [
            one
            for one in self.measured.arms_of(group=arm.group, where=where)
            if (one.name, one.place, one.edit) == (arm.name, arm.place, arm.edit)
        ]

    def ceiling(self, case: Case) -> Float[np.ndarray, " decisions"] | None:
        """The change under the donor's state at the decisions of a case; None if never put in."""
        for arm in self.arms:
            if arm.edit == PATCH and arm.where == "decision":
                change = self.change(arm, case)
                return None if np.isnan(change).all() else change
        return None

    def retrained(self, arm: Arm) -> list[Arm]:
        """The arms like an arm whose direction was estimated again, from resampled problems.

        None of them where P(backtrack) is drawn, which it is not under them.
        """
        role = arm.place.role if arm.place else None
        is_read = self.trust.is_exact or self.endpoint == "P_open"
        found = self.like(arm, RETRAINED) if arm.group == MATCHED and is_read else []
        return [one for one in found if one.place is not None and one.place.role == role]

    def joined(self, other: "Seen") -> "Seen":
        """These arms, and then another run's on the same decisions."""
        both = self.measured.with_arms_of(other.measured)
        return replace(self, measured=both, hides_baseline=False)

    def without_baseline(self) -> "Seen":
        """The same run, whose baseline is in another table: its arms are told beside it."""
        return replace(self, hides_baseline=True)

    def with_only(self, arms: Sequence[Arm]) -> "Seen":
        """Some of the arms, in the order given."""
        rows = [self.measured.row(arm) for arm in arms]
        return replace(self, measured=self.measured.with_only(rows), hides_baseline=False)


def see(measured: Measured, decisions: Decisions, trust: Trust | None = None) -> Seen:
    """A run with the study's decisions that it was read at.

    Args:
        measured: the run.
        decisions: of the study.
        trust: how far it may be believed; wholly by default.

    Raises:
        UserError: where it was read at others.
    """
    problem_by_trace = dict(zip(decisions.trace_id, decisions.problem, strict=True))
    chosen = decisions[decisions.rows_of(measured.decisions)]
    problems = tuple(problem_by_trace[name] for name in measured.prefixes)
    return Seen(measured, chosen, problems, trust=trust or Trust())


def mean_change(seen: Seen, arm: Arm, case: Case, bootstrap: Bootstrap) -> Interval:
    """Mean paired change of P(backtrack) at the decisions of a case, with its interval.

    Where the direction was estimated again from resampled train problems, the interval resamples
    these too.
    """
    if not seen.has(case):
        return NO_INTERVAL
    again = [seen.change(one, case) for one in seen.retrained(arm)]
    return mean_over(seen.change(arm, case), again, seen.problems(case), bootstrap)


def mean_over(
    change: Float[np.ndarray, " decisions"],
    again: Sequence[Float[np.ndarray, " decisions"]],
    problems: Sequence[str],
    bootstrap: Bootstrap,
) -> Interval:
    """The mean of a change at decisions, beside the same under directions estimated again."""
    if not again:
        return bootstrap.intervals(change, list(problems))[0]
    return retrained_interval(change, np.stack(again), problems, bootstrap)


def key_of(target: str, arm: Arm) -> ArmKey:
    """What an arm of a model is, as it stands in tables."""
    return ArmKey(target, arm.name, arm.dose, arm.where, arm.edit, arm.group)


def is_baseline(arm: Arm) -> bool:
    """Whether an arm changes nothing."""
    return arm.group == BASELINE
