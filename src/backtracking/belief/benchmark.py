"""The pairs as a benchmark: any direction is scored on beta, collateral and necessity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from backtracking.belief.doses import Candidate, Dose
from backtracking.belief.measure import ACTION_ARM, DIRECTION, Plan, Points, Run, Subject, Trial
from backtracking.belief.necessity import Null, null_of, project, tabulate_necessity
from backtracking.belief.tables import EDIT_SET, READOUTS, named, tabulate_betas
from backtracking.models.forced import Arm, Forced, Prefix, teacher_force
from backtracking.records import measured as record
from backtracking.records.directions import Direction
from backtracking.records.measured import Array, Measured
from backtracking.records.pairs import MinimalPair
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

    rows: list[dict[str, Any]]
    betas: list[dict[str, Any]]
    necessity: list[dict[str, Any]]
    null: Null


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


def score(trial: Trial, sides: Sides, bootstrap: Bootstrap, null: Null | None = None) -> Scored:
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


def tabulate_collateral(
    sides: Sides, bootstrap: Bootstrap
) -> dict[tuple[str, int | None], dict[str, float | None]]:
    """Agreement and KL at positions that decide nothing, by direction and layer.

    `agreement` is the share of most likely tokens that stay.
    """
    found: dict[tuple[str, int | None], dict[str, float | None]] = {}
    measured = sides.collateral
    if not measured.arms:
        return found
    agreement = bootstrap.intervals(measured.values("agreement").T, sides.collateral_problems)
    for number, arm in enumerate(measured.arms):
        kl = float(np.nanmean(measured.values("kl")[number]))
        found[arm.name, arm.layer] = named("agreement", agreement[number]) | {"kl": kl}
    return found


_BETA = (
    "beta_value", "beta_low", "beta_high", "minus_action_low", "null", "flipped", "verdict",
    "reason",
)  # fmt: skip
_ELSEWHERE = ("agreement_value", "agreement_low", "agreement_high", "kl")
_NECESSITY = (
    "change_value", "change_low", "change_high", "null", "falls", "report_kept_value",
    "report_kept_low", "report_stays",
)  # fmt: skip


def join(
    trial: Trial,
    betas: Sequence[Mapping[str, Any]],
    necessity: Sequence[Mapping[str, Any]],
    elsewhere: Mapping[tuple[str, int | None], Mapping[str, float | None]],
) -> list[dict[str, Any]]:
    """One row per direction, layer and edit set with all its scores; None is not known."""
    beta = {(r["direction"], r["layer"], r["span"], r["readout"]): r for r in betas}
    without = {(r["direction"], r["layer"], r["span"]): r for r in necessity}
    rows = []
    for (name, layer), dose in trial.doses.items():
        there = elsewhere.get((name, layer), {})
        for span in EDIT_SET.values():
            key = (name, layer, span)
            rows.append(
                {"direction": name, "layer": layer, "span": span}
                | {"dose": dose.norm, "reached": dose.reached}
                | {"dose_mean_residual_norms": dose.mean_residual_norms}
                | {"wait_share": beta[*key, READOUTS[0]]["wait_share"]}
                | {f"{one}_{part}": beta[*key, one][part] for one in READOUTS for part in _BETA}
                | {part: there.get(part) for part in _ELSEWHERE}
                | {f"without_{part}": without.get(key, {}).get(part) for part in _NECESSITY}
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
                [Arm(points.sign * dose.norm * one.unit, "decision") for one, dose in here],
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
