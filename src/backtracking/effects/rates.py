"""Effects of steering: rates at each kind of decision point, paired, with intervals by problem."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from backtracking.effects.dose_response import respond
from backtracking.effects.relative import change_of_log_odds, share_of_ceiling
from backtracking.effects.seen import (
    NO_INTERVAL,
    NULLS,
    Case,
    Cases,
    Seen,
    is_baseline,
    key_of,
    mean_change,
    mean_over,
)
from backtracking.records.intervals import Interval
from backtracking.records.measured import RANDOM, Arm
from backtracking.records.rows.arms import Ceiling, Elsewhere, Endpoint, Forced, Sign
from backtracking.records.rows.steering import DoseResponse
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect, is_legal

HOW = {"add": "added at dose 1", "set_projection": "set to the other class's mean"}
"""An edit in words."""

PERCENTILES = (5, 25, 50, 75, 95)
"""Of effects over decisions."""


@dataclass(frozen=True)
class Steered:
    """What one direction does to one target by the primary edit, in both signs.

    Attributes:
        target, direction: roles of the models.
        live, dead: names of the two classes of decisions.
        endpoint, how: what is read, and by which edit it is moved, in words.
        contrast: P(backtrack | dead) - P(backtrack | live) without steering, what is to be caused.
        raises: effect on P(backtrack | live) of setting the direction to the dead mean, or of
            adding it.
        lowers: effect on P(backtrack | dead) of setting it to the live mean, or of subtracting it.
        of_ceiling: `raises` as a share of what the donor's state brings about; None if not known.
        log_odds: `raises` as a change of the log-odds of P(backtrack | live), in nats.
    """

    target: str
    direction: str
    live: str
    dead: str
    endpoint: Endpoint
    how: str
    contrast: Interval
    raises: Effect
    lowers: Effect
    of_ceiling: Interval | None = None
    log_odds: Interval | None = None


def tabulate(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Forced]:
    """One row per arm and case: P(backtrack) and its paired difference to the baseline."""
    rows = []
    for case in cases.listed:
        chosen = case.mask(seen.decisions)
        if not chosen.any():
            continue
        p, problems = seen.p_at_decisions[:, chosen].T, seen.problems(case)
        levels = bootstrap.intervals(p, problems)
        effects = bootstrap.intervals(p - p[:, :1], problems)
        for arm, level, effect in zip(seen.arms, levels, effects, strict=True):
            if seen.hides_baseline and is_baseline(arm):
                continue
            legal = seen.legal(arm, case)
            told = key_of(seen.target, arm), case.name, seen.endpoint, level, effect
            is_test = is_legal(legal) and not seen.flaw
            test: Literal["", "no test"] = "" if is_test else "no test"
            rows.append(Forced(*told, int(chosen.sum()), legal, test))
    return rows


def tabulate_ceiling(patched: Seen | None, case: Case, bootstrap: Bootstrap) -> list[Ceiling]:
    """One row per arm at decisions of a case that have a donor; none where nothing was put in."""
    if patched is None or not patched.has(case):
        return []
    arms = {key_of(patched.target, arm): arm for arm in patched.arms if not is_baseline(arm)}
    cases = Cases((case,), case, case)
    return [
        Ceiling(row, share_of_ceiling(patched, arms[row.arm], case, bootstrap) or NO_INTERVAL)
        for row in tabulate(patched, cases, bootstrap)
        if row.arm in arms
    ]


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


def steered(
    seen: Seen, role: str, cases: Cases, bootstrap: Bootstrap, patched: Seen | None = None
) -> Steered:
    """What a role's direction does by the primary edit, at decisions, beside its nulls.

    Args:
        seen: the run in which it is judged.
        role: the direction's.
        cases: of decisions.
        bootstrap: resamples and level.
        patched: the run in which a donor's state was put in.
    """
    arms = [seen.primary(role, sign) for _, sign in cases.claimed]
    raises, lowers = (
        effect_of(seen, arm, case, bootstrap)
        for arm, (case, _) in zip(arms, cases.claimed, strict=True)
    )
    up = arms[0]
    return Steered(
        target=seen.target,
        direction=role,
        live=cases.live.name,
        dead=cases.dead.name,
        endpoint=seen.endpoint,
        how=HOW[up.edit] if up else "not steered",
        contrast=_contrast(seen, cases, bootstrap),
        raises=raises,
        lowers=lowers,
        of_ceiling=share_of_ceiling(
            patched, patched.primary(role, 1) if patched else None, cases.live, bootstrap
        ),
        log_odds=change_of_log_odds(seen, up, cases.live, bootstrap),
    )


def excess(
    first: tuple[Seen, Arm], second: tuple[Seen, Arm], case: Case, bootstrap: Bootstrap
) -> Interval:
    """An arm's effect in one target minus another's, there or elsewhere, on the same decisions.

    Of the first, the interval resamples train problems where its direction was estimated again.
    """
    (seen, arm), (where, other) = first, second
    if not seen.has(case):
        return NO_INTERVAL
    if where.measured.decisions != seen.measured.decisions:
        raise ValueError(f"{seen.target} and {where.target} were read at other decisions.")
    beside = where.change(other, case)
    again = [seen.change(one, case) - beside for one in seen.retrained(arm)]
    return mean_over(seen.change(arm, case) - beside, again, seen.problems(case), bootstrap)


def effect_of(seen: Seen, arm: Arm | None, case: Case, bootstrap: Bootstrap) -> Effect:
    """An arm's paired effect at the decisions of a case, beside the nulls that it has to beat.

    A positive dose is claimed to raise P(backtrack), any other to lower it. An arm that was not run
    has no interval.
    """
    if arm is None or not seen.has(case):
        return Effect(NO_INTERVAL)
    return Effect(
        interval=mean_change(seen, arm, case, bootstrap),
        nulls=seen.nulls(arm, case),
        beside=seen.beside(arm, case),
        sign=1 if arm.dose > 0 else -1,
        legal=seen.legal(arm, case),
        flaw=seen.flaw,
        resampled="test and train problems" if seen.retrained(arm) else "test problems",
    )


def dose_response(
    test: Seen,
    dev: Seen,
    along: Arm,
    case: Case,
    sign: int,
    min_agreement: float,
    bootstrap: Bootstrap,
) -> DoseResponse:
    """The curve of an added direction at the decisions of a case, beyond random directions.

    Args:
        test: the target's runs, with random directions at every dose.
        dev: the same on dev problems, by which the peak is chosen.
        along: an arm along the direction.
        case: of decisions; both have some.
        sign: of the doses, and of the effect that is claimed: +1 or -1.
        min_agreement: of other predictions on dev, for a dose to be usable; the steered ones have
            to be possible as well.
        bootstrap: resamples and level.
    """
    arms = [arm for arm in test.doses_of(along) if arm.dose * sign > 0]
    arms.sort(key=lambda arm: abs(arm.dose))
    # Neither the curve nor a resample of it goes on beyond the first dose that breaks the model.
    agreement = np.array([np.nanmean(dev.measured.values("agreement", arm)) for arm in arms])
    legal = np.array([is_legal(dev.legal(arm, case)) for arm in arms])
    usable = (agreement >= min_agreement) & legal
    arms = arms[: max(1, np.argmin([*usable, False]))]
    doses = np.array([abs(arm.dose) for arm in arms])
    on_test, on_dev = (
        sign * np.stack([_beyond_random(one, arm, case) for arm in arms], axis=1)
        for one in (test, dev)
    )
    peak = float(doses[on_dev.mean(axis=0).argmax()])
    problem, counts = np.unique(np.array(test.problems(case)), return_inverse=True)
    sums = np.zeros((len(problem), len(doses)))
    np.add.at(sums, counts, on_test)
    return respond(doses, sums, np.bincount(counts).astype(float), peak, bootstrap)


def signs(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> list[Sign]:
    """How an arm at decisions moves single problems and decisions, which its mean does not tell.

    At live decisions a positive dose is claimed to raise P(backtrack), at dead ones a negative one
    to lower it. A mean effect may be that of a few problems, and of both signs.
    """
    rows = []
    for case, sign in cases.claimed:
        if not seen.has(case):
            continue
        problems, number = np.unique(np.array(seen.problems(case)), return_inverse=True)
        for arm in seen.arms:
            change = sign * seen.change(arm, case)
            is_null = arm.group in (RANDOM, *NULLS)
            if is_null or arm.where != "decision" or arm.dose * sign <= 0 or np.isnan(change).any():
                continue
            by_problem = np.bincount(number, change) / np.bincount(number)
            (share,) = bootstrap.intervals((by_problem > 0).astype(float), list(problems))
            (wrong,) = bootstrap.intervals((change < 0).astype(float), seen.problems(case))
            spread = np.percentile(sign * change, PERCENTILES).tolist()
            rows.append(Sign(key_of(seen.target, arm), case.name, share, wrong, *spread))
    return rows


def _beyond_random(seen: Seen, arm: Arm, case: Case) -> np.ndarray:
    """P(backtrack) under an arm minus its mean over random directions at that dose."""
    randoms = [seen.p(other, case) for other in seen.like(arm, RANDOM)]
    return seen.p(arm, case) - np.mean(randoms, axis=0)


def _contrast(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> Interval:
    """Baseline P(backtrack | dead) minus P(backtrack | live)."""
    if not (seen.has(cases.live) and seen.has(cases.dead)):
        return NO_INTERVAL
    p = seen.p_at_decisions[0]
    masks = [case.mask(seen.decisions) for case in (cases.dead, cases.live)]
    columns = np.stack([np.where(mask, p, np.nan) for mask in masks], axis=1)
    return bootstrap.intervals(columns, list(seen.decisions.problem), _difference)[0]


def _difference(means: np.ndarray) -> np.ndarray:
    return means[:, :1] - means[:, 1:]
