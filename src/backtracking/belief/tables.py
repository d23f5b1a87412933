"""The tables of the experiment: ceilings, levels, betas with their verdicts, doses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backtracking.belief.measure import ACTION_ARM, PATCH, RANDOM, Trial
from backtracking.belief.verdicts import Ceiling, betas, judge
from backtracking.models.prefixes import SPANS, Span
from backtracking.records.intervals import Interval
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


def tabulate_ceilings(trial: Trial, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per layer, edit set and readout: natural difference, the patch's, and testable."""
    rows = []
    for layer in layers_of(trial):
        for span in SPANS:
            for readout in READOUTS:
                ceiling = ceiling_of(trial, layer, span, readout, bootstrap)
                rows.append(
                    {"role": trial.role, "layer": layer, "span": EDIT_SET[span], "readout": readout}
                    | named("natural", ceiling.natural)
                    | named("patch", ceiling.patch)
                    | named("wait", ceiling.wait)
                    | {"testable": not ceiling.reason, "reason": ceiling.reason}
                    | {"n": ceiling.patch.n, "n_items": len(trial.problems)}
                )
    return rows


def tabulate_betas(trial: Trial, bootstrap: Bootstrap) -> list[dict[str, Any]]:
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
) -> list[dict[str, Any]]:
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
        if ceiling.reason:
            beta = minus_action = undefined
        rows.append(
            {"role": trial.role, "layer": layer, "span": EDIT_SET[span], "readout": readout}
            | {"direction": name}
            | named("change", change)
            | named("beta", beta)
            | named("minus_action", minus_action)
            | _against_random(beta, null)
            | _beside(trial, name, layer, span, readout)
            | {"verdict": verdict, "reason": reason, "n": beta.n}
        )
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


def tabulate_levels(trial: Trial, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm and readout: its mean, random arms left out, donor and forced beside."""
    shown = [n for n, arm in enumerate(trial.measured.arms) if arm.group != RANDOM]
    rows = []
    for readout in LEVELS:
        values = trial.measured.values(readout)[shown].T
        for number, level in zip(shown, bootstrap.intervals(values, trial.problems), strict=True):
            arm = trial.measured.arms[number]
            span = None if arm.layer is None else EDIT_SET[arm.where]
            label = {"name": arm.name, "layer": arm.layer, "span": span}
            if level.value is not None:
                rows.append({"role": trial.role, "readout": readout} | label | asdict(level))
    return rows


def tabulate_doses(trial: Trial) -> list[dict[str, Any]]:
    """One row per direction and layer: its dose, matched on dev."""
    return [
        {"role": trial.role, "direction": name, "layer": layer} | asdict(dose)
        for (name, layer), dose in trial.doses.items()
    ]


def tabulate_null(null: Mapping[int, Sequence[float]]) -> list[dict[str, Any]]:
    """One row per layer and edit set: effects of projecting random directions out, alike in both.

    P(backtrack) is read at the deciding token, where both edit sets are the same edit.
    """
    return [
        {"layer": layer, "span": span, "effects": list(effects)}
        for layer, effects in null.items()
        for span in EDIT_SET.values()
    ]


def judge_belief(
    rows: Sequence[Mapping[str, Any]],
    direction: str,
    role: str,
    layer: int,
    span: str = "E2",
    reason: str = "",
) -> dict[str, Any]:
    """The claim that a direction is a belief, on the report, as a row of claims.json.

    It stands on one layer, that which `steer` chose on dev, and on the edit set that reaches the
    readout. It holds where the verdict is *belief* and beta is beyond 95 % of random directions
    (where these were run); the verdicts everywhere else are among its parts. Without rows it is
    untestable, for the reason that is given.
    """
    own = [row for row in rows if row["direction"] == direction]
    at = {(row["layer"], row["span"], row["readout"]): row for row in own}
    main = at.get((layer, span, "b"), _UNTESTED | {"reason": reason})
    judged = {"belief": "holds", "untestable": "untestable"}.get(main["verdict"], "fails")
    chance = main["null"] is not None and (main["beta_value"] or 0) <= main["null"]
    return {
        "claim": "belief",
        "pair": f"{direction} -> {role}",
        "contrast": "change of log-odds(yes : no) of `report`, arm / patch, equal marker",
        "threshold": "beta > 0.5 and > beta(action) by their intervals; beyond 95 % of random",
        "estimate": main["beta_value"],
        "low": main["beta_low"],
        "high": main["beta_high"],
        "null": main["null"],
        "p": main["p"],
        "n": main["n"],
        "verdict": "fails" if judged == "holds" and chance else judged,
        "kind": "emergent",
        "must_fail": False,
        "parts": {f"{s}, layer {k}, {r}": row["verdict"] for (k, s, r), row in at.items()},
        "reason": main["reason"],
    }


_UNTESTED = dict.fromkeys(("beta_value", "beta_low", "beta_high", "null", "p")) | {
    "verdict": "untestable",
    "n": 0,
}


def named(prefix: str, interval: Interval) -> dict[str, float | None]:
    """Value and ends of an interval under keys with a prefix."""
    return {f"{prefix}_{key}": getattr(interval, key) for key in ("value", "low", "high")}


def _beside(
    trial: Trial, name: str, layer: int, span: Span, readout: str
) -> dict[str, float | None]:
    """How well the marker is matched on test, and how often the answer comes out otherwise."""
    arm = trial.find(name, layer, span)
    if arm is None:
        return {"wait_share": None, "flipped": None}
    patched = trial.patched("a", layer, span).mean()
    values = trial.sign * trial.measured.values(readout, arm)
    return {
        "wait_share": float(trial.change("a", arm).mean() / patched) if patched else None,
        "flipped": float((values > 0).mean()),
    }


def _against_random(beta: Interval, null: list[float | None]) -> dict[str, float | None]:
    known = np.array([value for value in null if value is not None])
    if beta.value is None or not len(known):
        return {"null": None, "p": None}
    return {
        "null": float(random_bound(known)),
        "p": random_direction_p(beta.value, known),
    }
