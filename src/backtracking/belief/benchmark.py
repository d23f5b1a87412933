"""The pairs as a benchmark: any direction is scored on beta, collateral and necessity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from backtracking.belief.doses import Candidate
from backtracking.belief.measure import Subject
from backtracking.belief.necessity import Effects, null_of, project, tabulate_necessity
from backtracking.belief.plan import Plan, Points, Run
from backtracking.belief.tables import EDIT_SET, READOUTS, tabulate_betas
from backtracking.belief.trial import ACTION_ARM, DIRECTION, Trial
from backtracking.models.forced import Arm, Forced, Prefix, teacher_force
from backtracking.records import measured as record
from backtracking.records.directions import Direction
from backtracking.records.intervals import Interval
from backtracking.records.measured import Array, Measured
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import Benchmark, Beta, Dose, Necessity
from backtracking.records.tokens import Tokens
from backtracking.statistics.bootstrap import Bootstrap


@dataclass(frozen=True)
class Sides:
    """What is measured beside the arms, with the problem of each column.

    Attributes:
        dead_ends: readouts with directions projected out, at visible dead ends.
        dead_end_problems: the problem of each of its pairs.
        collateral: agreement and KL at positions that decide nothing.
        collateral_problems: the problem of each of its prefixes.
    """

    dead_ends: Measured
    dead_end_problems: Sequence[str]
    collateral: Measured
    collateral_problems: Sequence[str]


@dataclass(frozen=True)
class Scored:
    """Scores, and what they rest on.

    Attributes:
        rows: one row per direction, layer and edit set.
        betas: `tabulate_betas` of the trial.
        necessity: rows of `tabulate_necessity`.
        null: random directions' effects there.
    """

    rows: list[Benchmark]
    betas: list[Beta]
    necessity: list[Necessity]
    null: Effects


def measure_beside(
    plan: Plan, subject: Subject, points: Points, trial: Trial, run: Run, *, with_random: bool
) -> Sides:
    """What projecting directions out does, and what adding them does elsewhere.

    Each direction is added at its dose at every decision of the longest prefix of each test trace.
    """
    prefixes, longest = _prefixes(points)
    return Sides(
        project(plan, subject, points, run, with_random=with_random),
        [pair.problem_id for pair in points.dead_ends],
        _collateral(plan, subject, points, trial, prefixes, longest, run),
        [pair.problem_id for pair in longest],
    )


def score(trial: Trial, sides: Sides, bootstrap: Bootstrap, null: Effects | None = None) -> Scored:
    """All scores of the directions of a trial, `action` of the same layers being among them.

    Args:
        trial: readouts under every arm.
        sides: what was measured beside.
        bootstrap: resamples and level.
        null: effects of projecting random directions out, if known already.
    """
    betas = tabulate_betas(trial, bootstrap)
    null = null_of(sides.dead_ends) if null is None else null
    necessity = []
    if sides.dead_end_problems:
        necessity = tabulate_necessity(sides.dead_ends, sides.dead_end_problems, null, bootstrap)
    elsewhere = tabulate_collateral(sides, bootstrap)
    return Scored(join(trial, betas, necessity, elsewhere), betas, necessity, null)


Elsewhere = Mapping[tuple[str, int | None], tuple[Interval, float]]
"""Agreement and KL at positions that decide nothing, by direction and layer."""


def tabulate_collateral(sides: Sides, bootstrap: Bootstrap) -> Elsewhere:
    """The share of most likely tokens that stay under each direction, and the mean KL in nats."""
    measured = sides.collateral
    if not measured.arms:
        return {}
    agreement = bootstrap.intervals(measured.values("agreement").T, sides.collateral_problems)
    kl = [float(np.nanmean(one)) for one in measured.values("kl")]
    places = [(arm.name, arm.layer) for arm in measured.arms]
    return dict(zip(places, zip(agreement, kl, strict=True), strict=True))


def join(
    trial: Trial, betas: Sequence[Beta], necessity: Sequence[Necessity], elsewhere: Elsewhere
) -> list[Benchmark]:
    """One row per direction, layer and edit set with all its scores."""
    beta = {(one.direction, one.layer, one.span, one.readout): one for one in betas}
    without = {(one.direction, one.layer, one.span): one.without for one in necessity}
    rows = []
    for place, dose in trial.doses.items():
        stays = elsewhere.get(place, (Interval(None, None, None, 0), None))
        amount = dose.norm, dose.mean_residual_norms, dose.reached
        for span in EDIT_SET.values():
            b, c = (beta[*place, span, one] for one in READOUTS)
            scores = b.wait_share, b.score, c.score
            rows.append(
                Benchmark(*place, span, *amount, *scores, *stays, without.get((*place, span)))
            )
    return rows


def with_action(candidates: Sequence[Candidate], action: Direction) -> list[Candidate]:
    """The directions, with `action` at every layer that they name."""
    layers = sorted({one.layer for one in candidates})
    added = [Candidate(ACTION_ARM, layer, action.vector, action.place) for layer in layers]
    return [*candidates, *added]


def _collateral(
    plan: Plan,
    subject: Subject,
    points: Points,
    trial: Trial,
    prefixes: Sequence[Prefix],
    longest: Sequence[MinimalPair],
    run: Run,
) -> Measured:
    dosed = [
        (one, trial.doses[one.name, one.layer])
        for one in sorted(subject.candidates, key=lambda one: one.layer)
        if trial.doses[one.name, one.layer].norm > 0
    ]
    by_layer: dict[int, list[tuple[Candidate, Dose]]] = {}
    for one, dose in dosed:
        by_layer.setdefault(one.layer, []).append((one, dose))
    found: list[Forced] = run(
        [
            partial(
                teacher_force,
                subject.loaded,
                layer,
                prefixes,
                [Arm(points.sign * dose.norm * one.unit) for one, dose in here],
                points.words.openers,
                plan.rows_per_batch,
            )
            for layer, here in by_layer.items()
        ]
    )
    arrays = {
        name: Array("prefixes", np.concatenate([getattr(one, name) for one in found]))
        for name in ("agreement", "kl")
        if found
    }
    arms = tuple(
        record.Arm(one.name, DIRECTION, dose.mean_residual_norms, place=one.place, layer=one.layer)
        for one, dose in dosed
    )
    names = tuple(pair.trace_id for pair in longest)
    return Measured(subject.role, "collateral", arms, arrays, prefixes=names)


def _prefixes(points: Points) -> tuple[list[Prefix], list[MinimalPair]]:
    """The longest prefix of each test trace with its decisions, and the pair that it is of."""
    longest: dict[str, MinimalPair] = {}
    for pair in (*points.with_donor("test"), *points.dead_ends):
        known = longest.get(pair.trace_id)
        if known is None or len(pair.clean_ids) > len(known.clean_ids):
            longest[pair.trace_id] = pair
    prefixes = [
        Prefix(one.clean_ids, one.n_prompt, _decisions(one, points.tokens))
        for one in longest.values()
    ]
    return prefixes, list(longest.values())


def _decisions(pair: MinimalPair, tokens: Tokens) -> list[int]:
    ids = pair.clean_ids
    return [end - 1 for end in range(pair.n_prompt + 1, len(ids) + 1) if tokens.decides(ids[:end])]
