"""All arms of the model under study beside two nulls, and the doses that leave the rest alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from backtracking.effects.rates import Rows, tabulate
from backtracking.effects.seen import Cases, Seen, is_baseline
from backtracking.records.intervals import Interval
from backtracking.records.measured import COSINE, RANDOM, SHUFFLED, Arm
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

NULLS = {"random": RANDOM, "shuffled": SHUFFLED}
"""Groups by their names in columns."""

NOT_TESTED = (
    {
        "group": "prompting",
        "direction": "prompting",
        "verdict": "no test",
        "reason": "the models read problems and take no prompts",
    },
)


def compare_arms(seen: Seen, cases: Cases, bootstrap: Bootstrap) -> Rows:
    """One row per arm and case at dose 1 and -1, against random directions and shuffled labels.

    An arm is held against the nulls at its own dose: a positive one against what 95 % of them stay
    below, a negative one against what 95 % stay above. `cosine` is to the model's own direction:
    one of shuffled labels, brought to the same norm, may well lie along it, where what tells the
    classes apart is most of what varies. Arms that cannot be tested have a row that says so.
    """
    chosen = [arm for arm in seen.arms if is_baseline(arm) or _is_compared(arm)]
    found = {(arm.name, arm.dose): arm for arm in chosen}
    case_by_name = {case.name: case for case in cases.listed}
    means = {
        (name, case.name, dose): tuple(
            float(seen.change(arm, case).mean()) for arm in seen.nulls(dose, group)
        )
        for name, group in NULLS.items()
        for case in cases.listed
        for dose in (1.0, -1.0)
        if seen.has(case)
    }
    rows: Rows = []
    for row in tabulate(seen.with_only(chosen), cases, bootstrap):
        arm, case = found[row["direction"], row["dose"]], case_by_name[row["kind"]]
        if not is_baseline(arm):
            nulls = {name: means[name, case.name, arm.dose] for name in NULLS}
            rows.append(_row(seen, arm, row, nulls))
    return rows + [{"target": seen.target} | dict(row) for row in NOT_TESTED]


def _is_compared(arm: Arm) -> bool:
    return arm.where == "decision" and abs(arm.dose) == 1 and arm.group != RANDOM


def _row(
    seen: Seen, arm: Arm, found: dict[str, Any], nulls: dict[str, tuple[float, ...]]
) -> dict[str, Any]:
    cosine = float(seen.measured.values(COSINE, arm))
    row: dict[str, Any] = {"group": arm.group, "cosine": None if np.isnan(cosine) else cosine}
    row |= found
    value, low, high = (row[f"effect_{end}"] for end in ("value", "low", "high"))
    interval = Interval(value, low, high, row["n"])
    for name, null in nulls.items():
        if null:
            effect = Effect(interval, null, 1 if arm.dose > 0 else -1)
            row |= {f"{name}_bound": effect.bound, f"{name}_p": effect.p}
            row[f"beyond_{name}"] = effect.exceeds_random()
    return row


def usable_doses(dev: Seen, min_agreement: float, bootstrap: Bootstrap) -> dict[str, Any]:
    """The usable window: doses that leave the other predictions alone, on dev problems.

    `doses` has a row per arm; `windows` the lowest and the highest usable dose of each direction at
    decisions such that every dose between them and 0 is usable as well; 0 where there is none.
    """
    values, problems = dev.measured.values("agreement").T, list(dev.prefix_problem)
    intervals = bootstrap.intervals(values, problems) if problems else []
    rows = [
        {"direction": arm.name, "dose": arm.dose, "where": arm.where}
        | {f"agreement_{key}": value for key, value in asdict(interval).items()}
        | {"usable": interval.value is not None and interval.value >= min_agreement}
        for arm, interval in zip(dev.arms, intervals, strict=False)
        if not is_baseline(arm)
    ]
    windows = []
    for name in dict.fromkeys(row["direction"] for row in rows):
        here = [row for row in rows if (row["direction"], row["where"]) == (name, "decision")]
        windows.append({"direction": name} | _window(here))
    return {"min_agreement": min_agreement, "doses": rows, "windows": windows}


def _window(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    ends = {}
    for end, sign in (("low", -1), ("high", 1)):
        ends[end] = 0.0
        one_sided = (row for row in rows if row["dose"] * sign > 0)
        for row in sorted(one_sided, key=lambda row: abs(row["dose"])):
            if not row["usable"]:
                break
            ends[end] = row["dose"]
    return ends
