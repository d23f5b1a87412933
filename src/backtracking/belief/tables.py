"""The tables of the experiment: ceilings, levels, betas with their verdicts, doses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from backtracking.belief.trial import ACTION_ARM, PATCH, RANDOM, Trial
from backtracking.belief.verdicts import betas, hindrance, judge
from backtracking.models.prefixes import SPANS, Span
from backtracking.records.intervals import Interval
from backtracking.records.rows.belief import (
    BeliefEvidence,
    Beta,
    Ceiling,
    Level,
    Matched,
    Null,
    Patched,
    Score,
)
from backtracking.records.rows.claims import Finding
from backtracking.records.rows.table import first
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.nulls import random_bound, random_direction_p

READOUTS = ("b", "c")
"""Readouts of which there is a beta: the report, and the claim."""

LEVELS = ("a", "b", "c", "p_backtrack", "p_parent", "p_legal")

EDIT_SET: Mapping[str, str] = {"decision": "E1", "onwards": "E2"}
"""Names of the edit sets in tables."""


def layers_of(trial: Trial) -> list[int]:
    """Layers at which the model was patched."""
    return sorted(
        {arm.layer for arm in trial.measured.arms_of(group=PATCH) if arm.layer is not None}
    )


def ceiling_of(trial: Trial, layer: int, span: Span, readout: str, bootstrap: Bootstrap) -> Ceiling:
    """What the patch does there."""
    patched = [trial.patched(one, layer, span) for one in (readout, "a")]
    columns = np.stack([trial.natural(readout), *patched], 1)
    return Ceiling(*bootstrap.intervals(columns, trial.problems))


def tabulate_ceilings(trial: Trial, bootstrap: Bootstrap) -> list[Patched]:
    """One row per layer, edit set and readout: natural difference, the patch's, and testable."""
    rows = []
    for layer in layers_of(trial):
        for span in SPANS:
            for readout in READOUTS:
                place = trial.role, layer, EDIT_SET[span], readout
                ceiling = ceiling_of(trial, layer, span, readout, bootstrap)
                reason, n = hindrance(ceiling), (ceiling.patch.n, len(trial.problems))
                rows.append(Patched(*place, ceiling, not reason, reason, *n))
    return rows


def tabulate_betas(trial: Trial, bootstrap: Bootstrap) -> list[Beta]:
    """One row per direction, layer, edit set and readout: change, beta, null and verdict.

    Where a layer and edit set is untestable, no beta is given: it would divide by what the patch
    does not do. The null is the 95th percentile of the random directions' betas. Whatever disturbs
    a model that is sure of its answer brings its log-odds nearer to 0, and so has a beta; that is
    why `flipped`, the share of points at which it answers as of the donor, stands beside.
    """
    return [
        row
        for layer in layers_of(trial)
        for span in SPANS
        for readout in READOUTS
        for row in _betas_at(trial, layer, span, readout, bootstrap)
    ]


def _betas_at(
    trial: Trial, layer: int, span: Span, readout: str, bootstrap: Bootstrap
) -> list[Beta]:
    ceiling = ceiling_of(trial, layer, span, readout, bootstrap)
    changes = {arm.name: trial.change(readout, arm) for arm in trial.at(layer, span)}
    reached = {name: dose.reached for (name, at), dose in trial.doses.items() if at == layer}
    found = _betas_of(trial, layer, span, readout, changes, reached, bootstrap)
    null = [beta.value for name, (_, beta, _) in found.items() if name not in reached]
    undefined = Interval(None, None, None, len(set(trial.problems)))
    rows = []
    for name in reached:
        change, beta, minus_action = found.get(name, (undefined,) * 3)
        verdict, reason = judge(ceiling, beta, minus_action, reached[name])
        if hindrance(ceiling):
            beta = minus_action = undefined
        wait_share, flipped = _beside(trial, name, layer, span, readout)
        random = _against_random(beta, null)
        score = Score(beta, minus_action, *random, flipped, verdict, reason)
        place = trial.role, name, layer, EDIT_SET[span], readout
        rows.append(Beta(*place, change, score, wait_share, beta.n))
    return rows


def _betas_of(
    trial: Trial,
    layer: int,
    span: Span,
    readout: str,
    changes: Mapping[str, np.ndarray],
    reached: Mapping[str, bool],
    bootstrap: Bootstrap,
) -> dict[str, tuple[Interval, Interval, Interval]]:
    """Change, beta and beta minus that of `action`, which counts only where its dose matches."""
    if not changes:
        return {}
    patch = trial.patched(readout, layer, span)
    against = ACTION_ARM if reached.get(ACTION_ARM) else ""
    ratios = betas(changes, patch, trial.problems, bootstrap, against)
    levels = bootstrap.intervals(np.stack(list(changes.values()), axis=1), trial.problems)
    return {name: (level, *ratios[name]) for name, level in zip(changes, levels, strict=True)}


def tabulate_levels(trial: Trial, bootstrap: Bootstrap) -> list[Level]:
    """One row per arm and readout: its mean, random arms left out, donor and forced beside."""
    shown = [n for n, arm in enumerate(trial.measured.arms) if arm.group != RANDOM]
    rows = []
    for readout in LEVELS:
        values = trial.measured.values(readout)[shown].T
        for number, level in zip(shown, bootstrap.intervals(values, trial.problems), strict=True):
            arm = trial.measured.arms[number]
            span = None if arm.layer is None else EDIT_SET[arm.where]
            if level.value is not None:
                rows.append(Level(trial.role, readout, arm.name, arm.layer, span, level))
    return rows


def tabulate_doses(trial: Trial) -> list[Matched]:
    """One row per direction and layer: its dose, matched on dev."""
    return [Matched(trial.role, *place, dose) for place, dose in trial.doses.items()]


def tabulate_null(null: Mapping[int, Sequence[float]]) -> list[Null]:
    """One row per layer and edit set: effects of projecting random directions out, alike in both.

    P(backtrack) is read at the deciding token, where both edit sets are the same edit.
    """
    return [
        Null(layer, span, tuple(effects))
        for layer, effects in null.items()
        for span in EDIT_SET.values()
    ]


def judge_belief(
    rows: Sequence[Beta],
    direction: str,
    role: str,
    layer: int,
    span: str = "E2",
    reason: str = "",
) -> BeliefEvidence:
    """The claim that a direction is a belief, on the report, as a row of claims.json.

    It stands on one layer, that which `steer` chose on dev, and on the edit set that reaches the
    readout. It holds where the verdict is *belief* and beta is beyond 95 % of random directions
    (where these were run); the verdicts everywhere else are among its parts. Without rows it is
    untestable, for the reason that is given.
    """
    own = [row for row in rows if row.direction == direction]
    main = first(own, layer=layer, span=span, readout="b")
    finding = Finding("untestable", n=0, why=reason)
    if main is not None:
        score, verdict = main.score, "fails"
        if score.verdict == "untestable":
            verdict = "untestable"
        elif score.verdict == "belief" and not _within(score):
            verdict = "holds"
        parts = {f"{one.span}, layer {one.layer}, {one.readout}": one.score.verdict for one in own}
        finding = Finding.beside(
            verdict, score.beta, score.null, p=score.p, parts=parts, why=score.reason
        )
    return BeliefEvidence(
        claim="belief",
        contrast="change of log-odds(yes : no) of `report`, arm / patch, equal marker",
        threshold="beta > 0.5 and > beta(action) by their intervals; beyond 95 % of random",
        kind="emergent",
        finding=replace(finding, direction=direction, target=role),
    )


def _within(score: Score) -> bool:
    """Whether random directions' betas are known, and this one is no larger than 95 % of them."""
    return score.null is not None and (score.beta.value or 0) <= score.null


def _beside(
    trial: Trial, name: str, layer: int, span: Span, readout: str
) -> tuple[float | None, float | None]:
    """How well the marker is matched on test, and how often the answer comes out otherwise."""
    arm = trial.find(name, layer, span)
    if arm is None:
        return None, None
    patched = trial.patched("a", layer, span).mean()
    values = trial.sign * trial.measured.values(readout, arm)
    wait_share = float(trial.change("a", arm).mean() / patched) if patched else None
    return wait_share, float((values > 0).mean())


def _against_random(beta: Interval, null: list[float | None]) -> tuple[float | None, float | None]:
    """What 95 % of random betas stay below, and p of this one among them."""
    known = np.array([value for value in null if value is not None])
    if beta.value is None or not len(known):
        return None, None
    return float(random_bound(known)), random_direction_p(beta.value, known)
