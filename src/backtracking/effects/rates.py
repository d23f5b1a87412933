"""Effects of steering: rates at each kind of decision point, paired, with intervals by problem."""

from dataclasses import dataclass

import numpy as np

from backtracking.effects.dose_response import peak_dose, respond
from backtracking.effects.seen import NO_INTERVAL, Case, Cases, Seen, key_of, mean_change
from backtracking.records.intervals import Interval
from backtracking.records.measured import P_OPEN, Arm
from backtracking.records.rows.arms import Elsewhere, Forced, Sign
from backtracking.records.rows.steering import DoseResponse
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect


@dataclass(frozen=True)
class Steered:
    """What one direction does to one target at one dose, in both signs.

    Attributes:
        target, direction: roles of the models.
        live, dead: names of the two classes of decisions.
        contrast: P(backtrack | dead) - P(backtrack | live) without steering, what is to be caused.
        raises: effect of adding the direction on P(backtrack | live).
        lowers: effect of subtracting it on P(backtrack | dead).
    """

    target: str
    direction: str
    live: str
    dead: str
    contrast: Interval
    raises: Effect
    lowers: Effect


def tabulate(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Forced]:
    """One row per arm and case: P(backtrack) and its paired difference to the baseline."""
    rows = []
    for case in cases.listed:
        chosen = case.mask(seen.decisions)
        if not chosen.any():
            continue
        p, problems = seen.measured.values(P_OPEN)[:, chosen].T, seen.problems(case)
        levels = bootstrap.intervals(p, problems)
        effects = bootstrap.intervals(p - p[:, :1], problems)
        rows += [
            Forced(key_of(seen.target, arm), case.name, level, effect, int(chosen.sum()))
            for arm, level, effect in zip(seen.arms, levels, effects, strict=True)
        ]
    return rows


def tabulate_elsewhere(seen: Seen, bootstrap: Bootstrap) -> list[Elsewhere]:
    """One row per arm: what it changes at the positions that decide nothing."""
    problems = list(seen.prefix_problem)
    if not problems:
        return []
    agreement, kl = (
        bootstrap.intervals(seen.measured.values(name).T, problems) for name in ("agreement", "kl")
    )
    ends, middles = (
        _markers(seen, name, bootstrap) for name in ("p_sentence_end", "p_mid_sentence")
    )
    return [
        Elsewhere(key_of(seen.target, arm), kept, nats.value, *end, *middle)
        for arm, kept, nats, end, middle in zip(
            seen.arms, agreement, kl, ends, middles, strict=True
        )
    ]


Markers = tuple[float | None, float | None, float | None, float | None]
"""P(marker), and its paired difference to the baseline with both ends."""


def _markers(seen: Seen, name: str, bootstrap: Bootstrap) -> list[Markers]:
    """P(marker) under each arm at positions of one sort."""
    p = seen.measured.values(name).T
    changes = bootstrap.intervals(p - p[:, :1], list(seen.prefix_problem))
    levels = (None if np.isnan(one).all() else float(np.nanmean(one)) for one in p.T)
    return [
        (level, one.value, one.low, one.high) for level, one in zip(levels, changes, strict=True)
    ]


def steered(seen: Seen, role: str, cases: Cases, bootstrap: Bootstrap) -> Steered:
    """What a role's direction does at dose 1, at decisions, against random directions."""
    raises, lowers = (
        effect_of(seen, seen.along(role, float(sign)), case, bootstrap)
        for case, sign in cases.claimed
    )
    contrast = _contrast(seen, cases, bootstrap)
    return Steered(seen.target, role, cases.live.name, cases.dead.name, contrast, raises, lowers)


def excess(
    first: tuple[Seen, Arm], second: tuple[Seen, Arm], case: Case, bootstrap: Bootstrap
) -> Interval:
    """An arm's effect in one target minus another's, there or elsewhere, on the same decisions."""
    if not first[0].has(case):
        return NO_INTERVAL
    one, other = (seen.change(arm, case) for seen, arm in (first, second))
    return bootstrap.intervals(one - other, first[0].problems(case))[0]


def effect_of(seen: Seen, arm: Arm | None, case: Case, bootstrap: Bootstrap) -> Effect:
    """An arm's paired effect at the decisions of a case, against random directions at its dose.

    A positive dose is claimed to raise P(backtrack), any other to lower it. An arm that was not run
    has no interval.
    """
    if arm is None or not seen.has(case):
        return Effect(NO_INTERVAL, ())
    random = tuple(float(seen.change(one, case).mean()) for one in seen.nulls(arm.dose))
    interval = mean_change(seen, arm, case, bootstrap)
    return Effect(interval, random, 1 if arm.dose > 0 else -1)


def dose_response(
    test: Seen,
    dev: Seen,
    along: Arm,
    case: Case,
    sign: int,
    min_agreement: float,
    bootstrap: Bootstrap,
) -> DoseResponse:
    """The curve of a direction at the decisions of a case, beyond random directions.

    Args:
        test: the target's runs, with random directions at every dose.
        dev: the same on dev problems, by which the peak is chosen.
        along: an arm along the direction.
        case: of decisions; both have some.
        sign: of the doses, and of the effect that is claimed: +1 or -1.
        min_agreement: of other predictions on dev, for a dose to be usable.
        bootstrap: resamples and level.
    """
    arms = [arm for arm in test.doses_of(along) if arm.dose * sign > 0]
    arms.sort(key=lambda arm: abs(arm.dose))
    doses = np.array([abs(arm.dose) for arm in arms])
    on_test, on_dev = (
        sign * np.stack([_beyond_random(one, arm, case) for arm in arms], axis=1)
        for one in (test, dev)
    )
    agreement = np.array([np.nanmean(dev.measured.values("agreement", arm)) for arm in arms])
    peak = peak_dose(doses, on_dev.mean(axis=0), agreement >= min_agreement)
    problem, counts = np.unique(np.array(test.problems(case)), return_inverse=True)
    sums = np.zeros((len(problem), len(doses)))
    np.add.at(sums, counts, on_test)
    return respond(doses, sums, np.bincount(counts).astype(float), peak, bootstrap)


def signs(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Sign]:
    """Share of problems whose own mean effect has the claimed sign, by arm at decisions.

    At live decisions a positive dose is claimed to raise P(backtrack), at dead ones a negative one
    to lower it. A mean effect may be that of a few problems.
    """
    rows = []
    for case, sign in cases.claimed:
        if not seen.has(case):
            continue
        problems, number = np.unique(np.array(seen.problems(case)), return_inverse=True)
        for arm in seen.arms:
            if arm.where != "decision" or arm.dose * sign <= 0:
                continue
            by_problem = np.bincount(number, sign * seen.change(arm, case)) / np.bincount(number)
            (share,) = bootstrap.intervals((by_problem > 0).astype(float), list(problems))
            rows.append(Sign(key_of(seen.target, arm), case.name, share))
    return rows


def _beyond_random(seen: Seen, arm: Arm, case: Case) -> np.ndarray:
    """P(backtrack) under an arm minus its mean over random directions at that dose."""
    randoms = [seen.p(other, case) for other in seen.nulls(arm.dose)]
    return seen.p(arm, case) - np.mean(randoms, axis=0)


def _contrast(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> Interval:
    """Baseline P(backtrack | dead) minus P(backtrack | live)."""
    if not (seen.has(cases.live) and seen.has(cases.dead)):
        return NO_INTERVAL
    p = seen.measured.values(P_OPEN, seen.arms[0])
    masks = [case.mask(seen.decisions) for case in (cases.dead, cases.live)]
    columns = np.stack([np.where(mask, p, np.nan) for mask in masks], axis=1)
    return bootstrap.intervals(columns, list(seen.decisions.problem), _difference)[0]


def _difference(means: np.ndarray) -> np.ndarray:
    return means[:, :1] - means[:, 1:]
