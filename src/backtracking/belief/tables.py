"""The tables of the experiment: ceilings, levels, betas with their verdicts, doses."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backtracking.belief.measure import PATCH, Arm, Measured
from backtracking.belief.tails import SPANS, Span
from backtracking.belief.verdicts import Ceiling, betas, judge
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.nulls import random_bound, random_direction_p

READOUTS = ("b", "c")
"""Readouts of which there is a beta: the report, and the claim."""

LEVELS = ("a", "b", "c", "p_backtrack", "p_parent", "p_legal")


def layers_of(measured: Measured) -> list[int]:
    """Layers at which the model was patched."""
    return sorted({arm.layer for arm in measured.arms if arm.name == PATCH})


def ceiling_of(
    measured: Measured, layer: int, span: Span, readout: str, bootstrap: Bootstrap
) -> Ceiling:
    """What the patch does there."""
    patch = Arm(PATCH, layer, span)
    columns = np.stack(
        [measured.natural(readout), measured.change(readout, patch), measured.change("a", patch)], 1
    )
    return Ceiling(*bootstrap.intervals(columns, measured.problems))


def tabulate_ceilings(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per layer, edit set and readout: natural difference, the patch's, and testable."""
    rows = []
    for layer in layers_of(measured):
        for span in SPANS:
            for readout in READOUTS:
                ceiling = ceiling_of(measured, layer, span, readout, bootstrap)
                rows.append(
                    {"role": measured.role, "layer": layer, "span": span, "readout": readout}
                    | named("natural", ceiling.natural)
                    | named("patch", ceiling.patch)
                    | named("wait", ceiling.wait)
                    | {"testable": not ceiling.reason, "reason": ceiling.reason}
                    | {"n": ceiling.patch.n, "n_items": len(measured.items)}
                )
    return rows


def tabulate_betas(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per direction, layer, edit set and readout: change, beta, null and verdict.

    Where a layer and edit set is untestable, no beta is given: it would divide by what the patch
    does not do. The null is the 95th percentile of the random directions' betas. Whatever disturbs
    a model that is sure of "under" brings its log-odds nearer to 0, and so has a beta; that is why
    `flipped`, the share of points at which it answers "over" ("too big"), stands beside.
    """
    return [
        row
        for layer in layers_of(measured)
        for span in SPANS
        for readout in READOUTS
        for row in _betas_at(measured, layer, span, readout, bootstrap)
    ]


def _betas_at(
    measured: Measured, layer: int, span: Span, readout: str, bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    ceiling = ceiling_of(measured, layer, span, readout, bootstrap)
    changes = {arm.name: measured.change(readout, arm) for arm in measured.at(layer, span)}
    reached = {name: dose.reached for (name, at), dose in measured.doses.items() if at == layer}
    found = _betas_of(measured, layer, span, readout, changes, reached, bootstrap)
    null = [beta.value for name, (_, beta, _) in found.items() if name not in reached]
    undefined = Interval(None, None, None, len(set(measured.problems)))
    rows = []
    for name in reached:
        change, beta, minus_action = found.get(name, (undefined,) * 3)
        verdict, reason = judge(ceiling, beta, minus_action, reached[name])
        if ceiling.reason:
            beta = minus_action = undefined
        rows.append(
            {"role": measured.role, "layer": layer, "span": span, "readout": readout}
            | {"direction": name}
            | named("change", change)
            | named("beta", beta)
            | named("minus_action", minus_action)
            | _against_random(beta, null)
            | _beside(measured, Arm(name, layer, span), readout)
            | {"verdict": verdict, "reason": reason, "n": beta.n}
        )
    return rows


def _betas_of(
    measured: Measured,
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
    patch = measured.change(readout, Arm(PATCH, layer, span))
    against = "action" if reached.get("action") else ""
    ratios = betas(changes, patch, measured.problems, bootstrap, against)
    levels = bootstrap.intervals(np.stack(list(changes.values()), axis=1), measured.problems)
    return {name: (level, *ratios[name]) for name, level in zip(changes, levels, strict=True)}


def tabulate_levels(measured: Measured, bootstrap: Bootstrap) -> list[dict[str, Any]]:
    """One row per arm and readout: its mean, random arms left out, donor and forced beside."""
    shown = [n for n, arm in enumerate(measured.arms) if not arm.name.startswith("random_")]
    labels: list[Mapping[str, Any]] = [asdict(measured.arms[number]) for number in shown]
    labels += [{"name": name, "layer": None, "span": None} for name in ("donor", "forced")]
    rows = []
    for readout in LEVELS:
        arms, donor, forced = (
            getattr(one, readout)
            for one in (measured.asked.arms, measured.asked.donor, measured.asked.forced)
        )
        values = np.concatenate([arms[shown], donor, forced]).T
        for label, level in zip(
            labels, bootstrap.intervals(values, measured.problems), strict=True
        ):
            if level.value is not None:
                row = {"role": measured.role, "readout": readout}
                rows.append(row | dict(label) | asdict(level))
    return rows


def tabulate_doses(measured: Measured) -> list[dict[str, Any]]:
    """One row per direction and layer: its dose, matched on dev."""
    return [
        {"role": measured.role, "direction": name, "layer": layer} | asdict(dose)
        for (name, layer), dose in measured.doses.items()
    ]


def judge_belief(
    rows: Sequence[Mapping[str, Any]], direction: str, role: str, layer: int, span: Span = "E2"
) -> dict[str, Any]:
    """The claim that a direction is a belief, on the report, as a row of claims.json.

    It stands on one layer, that which `steer` chose on dev, and on the edit set that reaches the
    readout. It holds where the verdict is *belief* and beta is beyond 95 % of random directions
    (where these were run); the verdicts everywhere else are among its parts.
    """
    own = [row for row in rows if row["direction"] == direction]
    at = {(row["layer"], row["span"], row["readout"]): row for row in own}
    main = at[layer, span, "b"]
    judged = {"belief": "holds", "untestable": "untestable"}.get(main["verdict"], "fails")
    chance = main["null"] is not None and (main["beta_value"] or 0) <= main["null"]
    return {
        "claim": "belief",
        "pair": f"{direction} -> {role}",
        "contrast": "change of log-odds(over : under) after `Check :`, arm / patch, equal Wait",
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
    }


def named(prefix: str, interval: Interval) -> dict[str, float | None]:
    """Value and ends of an interval under keys with a prefix."""
    return {f"{prefix}_{key}": getattr(interval, key) for key in ("value", "low", "high")}


def _beside(measured: Measured, arm: Arm, readout: str) -> dict[str, float | None]:
    """How well Wait is matched on test, and how often the answer itself comes out otherwise."""
    if arm not in measured.arms:
        return {"wait_share": None, "flipped": None}
    patched = measured.change("a", Arm(PATCH, arm.layer, arm.span)).mean()
    values = getattr(measured.asked.arms, readout)[measured.arms.index(arm)]
    return {
        "wait_share": float(measured.change("a", arm).mean() / patched) if patched else None,
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
