"""Is a direction needed: does backtracking stop where it is projected out, and the report stay?"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backtracking.effects.rates import BASELINE, Label, Measured, effect_of
from backtracking.interventions.questions import ask, asked_of
from backtracking.interventions.runs import Choice, Inputs, Plan, random_units, run_arms
from backtracking.models.forced import Arm
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.effect import Verdict, all_of
from backtracking.statistics.nulls import random_bound

MARGIN = 0.05
"""Largest fall of the share of right reports with which the report counts as staying."""


def necessity(
    plan: Plan,
    bootstrap: Bootstrap,
    inputs: Inputs,
    choice: Choice,
    units: Mapping[str, Tensor],
) -> list[dict[str, Any]]:
    """For each direction, what projecting it out at decisions does to the reasoning model.

    Args:
        plan: sizes, and the random directions that are projected out as the null.
        bootstrap: resamples and level.
        inputs: models, traces and directions.
        choice: the layer.
        units: directions by name.
    """
    d_model = inputs.model_by_role["reasoning"].d_model
    vectors = {"baseline": torch.zeros(d_model)} | dict(units) | random_units(plan, d_model)
    arms = [Arm(vector, "decision", "project_out") for vector in vectors.values()]
    labels = [Label(name, BASELINE.dose, "decision") for name in vectors]
    measured = run_arms(plan, inputs, choice, "reasoning", "test", labels, arms)
    asked = asked_of(plan, inputs, "over")
    log_odds = ask(inputs, choice, "reasoning", asked, arms) if asked.prefixes else None
    return [
        {"target": "reasoning", "direction": name}
        | _row(measured, name, log_odds, list(vectors), list(asked.problem), bootstrap)
        for name in units
    ]


def _row(
    measured: Measured,
    name: str,
    log_odds: np.ndarray | None,
    names: list[str],
    problems: list[str],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    by_kind = {
        kind: effect_of(measured, Label(name, BASELINE.dose, "decision"), kind, bootstrap)
        for kind in ("over", "alive")
        if (measured.kind == kind).any()
    }
    row: dict[str, Any] = {}
    for kind, effect in by_kind.items():
        row |= {f"{kind}_{key}": value for key, value in asdict(effect.interval).items()}
        row |= {f"{kind}_random_bound": effect.bound, f"{kind}_p": effect.p}
        row[f"{kind}_baseline"] = float(measured.p(BASELINE, kind).mean())
    falls = by_kind["over"].exceeds_random() if "over" in by_kind else "untestable"
    stays: Verdict = "untestable"
    if log_odds is not None:
        arm = log_odds[:, names.index(name)]
        is_random = np.array([one.startswith("random_") for one in names])
        found = report_change(log_odds[:, 0], arm, problems, bootstrap)
        stays = report_stays(found["right_baseline"], found["right_change"])
        for key, interval in found.items():
            row |= {f"{key}_{end}": value for end, value in asdict(interval).items()}
        shifts = (log_odds[:, is_random] - log_odds[:, :1]).mean(axis=0)
        row["log_odds_change_random_bound"] = float(random_bound(shifts, -1))
    return row | {
        "parts": {"backtracking_falls": falls, "report_stays": stays},
        "verdict": all_of([falls, stays]),
    }


def report_change(
    baseline: np.ndarray, arm: np.ndarray, problems: list[str], bootstrap: Bootstrap
) -> dict[str, Interval]:
    """At decisions that are over: share of right reports, and how an arm changes it.

    Args:
        baseline: log-odds of `over` against `under` at each decision.
        arm: the same with the direction projected out.
        problems: the problem of each decision.
        bootstrap: resamples and level.
    """
    right, still = (baseline > 0).astype(float), (arm > 0).astype(float)
    columns = np.stack([right, still - right, arm - baseline], axis=1)
    intervals = bootstrap.intervals(columns, problems)
    return dict(zip(("right_baseline", "right_change", "log_odds_change"), intervals, strict=True))


def report_stays(baseline: Interval, change: Interval) -> Verdict:
    """Holds where the share of right reports falls by less than `MARGIN`, at 95 %.

    Untestable where the model does not report right to begin with, or the interval holds `MARGIN`.
    """
    if baseline.low is None or change.low is None or change.high is None or baseline.low <= 0.5:
        return "untestable"
    if change.low > -MARGIN:
        return "holds"
    return "fails" if change.high < -MARGIN else "untestable"
