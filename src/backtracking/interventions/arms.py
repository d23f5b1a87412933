"""The arms beside matched directions: other forms, other states, the mean, and two more nulls.

All have the norm of dose 1 and are added at decisions of the reasoning model, teacher-forced, in
both signs. Directions of shuffled labels are a null beside random ones: they hold what the
activations of two arbitrary groups of decisions differ by. A fresh random vector at every decision
tells what any push of that size does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from backtracking.effects.rates import BASELINE, KINDS, Label, Measured, tabulate
from backtracking.interventions.runs import Choice, Inputs, Plan, run_arms, unit_directions
from backtracking.models.forced import Arm
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.effect import Effect

FORMS = ("unmarked", "keyword", "stable", "ward", "venhoff")
NULL, NOISE = "null_", "noise_"
NOT_TESTED = (
    {
        "group": "prompting",
        "direction": "prompting",
        "verdict": "no test",
        "reason": "the organism reads problems and takes no prompts",
    },
)


@dataclass(frozen=True)
class Extra:
    """A further direction of the reasoning model's arms.

    Attributes:
        group: `matched`, `action`, `form`, `state`, `mean`, `shuffled_labels` or `noise`.
        unit: of norm 1; of `noise`, where only the norm counts, any.
    """

    group: str
    unit: Tensor


def extra_directions(inputs: Inputs, choice: Choice, plan: Plan) -> dict[str, Extra]:
    """All further directions at the chosen layer, by name.

    Forms at comparisons are taken at the chosen window, and the others at their own.
    """
    pair = (inputs.base_by_role["reasoning"], "reasoning")
    found = {
        f"{role}.{form}": Extra("form", vector)
        for role in pair
        for form in FORMS
        for vector in _at(inputs, choice, role, form)[:1]
    }
    for name, vector in sorted(inputs.direction_by_name.items()):
        form, window = _place(name, "reasoning", choice.layer)
        if form == "mean" or form.startswith("state."):
            found[form] = Extra(form.split(".")[0], vector)
        if form.startswith(NULL) and window == choice.window:
            found[form] = Extra("shuffled_labels", vector)
    for number in range(plan.n_noise):
        unit = torch.ones(inputs.model_by_role["reasoning"].d_model)
        found[f"{NOISE}{number}"] = Extra("noise", unit)
    return {
        name: Extra(extra.group, extra.unit / extra.unit.norm()) for name, extra in found.items()
    }


def force_extras(
    plan: Plan, inputs: Inputs, choice: Choice, extras: Mapping[str, Extra]
) -> Measured:
    """The further arms, teacher-forced on the same traces as `interventions.force`."""
    labels, arms = [BASELINE], [Arm(torch.zeros(len(_any(extras).unit)), "decision")]
    for name, extra in extras.items():
        for dose in (1.0,) if extra.group == "noise" else (1.0, -1.0):
            labels.append(Label(name, dose, "decision"))
            vector = dose * choice.norm * extra.unit
            if extra.group == "noise":
                seed = plan.seed + int(name.removeprefix(NOISE))
                arms.append(Arm(vector, "decision", "noise", seed))
            else:
                arms.append(Arm(vector, "decision"))
    return run_arms(plan, inputs, choice, "reasoning", "test", labels, arms)


def compare_arms(
    measured: Measured, extras: Mapping[str, Extra], bootstrap: Bootstrap
) -> list[dict[str, Any]]:
    """One row per arm and kind at dose 1 and -1, against random directions and shuffled labels.

    An arm is held against the nulls at its own dose: a positive one against what 95 % of them stay
    below, a negative one against what 95 % stay above. `cosine` is to the reasoning model's own
    direction: one of shuffled labels, brought to the same norm, may well lie along it, where what
    tells the classes apart is most of what varies. Arms that cannot be tested have a row that says
    so.

    Args:
        measured: all arms of the reasoning model.
        extras: all its directions, the matched ones included (`all_directions`).
        bootstrap: resamples and level.
    """
    rows: list[dict[str, Any]] = []
    nulls = {"random": "random_", "shuffled": NULL}
    changes = {
        (name, kind, dose): _mean_effects(measured, kind, measured.randoms(dose, prefix))
        for name, prefix in nulls.items()
        for kind in KINDS
        for dose in (1.0, -1.0)
    }
    for found in tabulate(_only(measured, list(extras)), bootstrap):
        if found["direction"] == BASELINE.direction:
            continue
        extra = extras[found["direction"]]
        row: dict[str, Any] = {"group": extra.group, "cosine": None} | found
        if extra.group != "noise":
            row["cosine"] = float(extra.unit @ extras["reasoning"].unit)
        value, low, high = (row[f"effect_{end}"] for end in ("value", "low", "high"))
        interval = Interval(value, low, high, row["n"])
        for name in nulls:
            null = changes[name, row["kind"], row["dose"]]
            if null:
                effect = Effect(interval, null, 1 if row["dose"] > 0 else -1)
                row |= {f"{name}_bound": effect.bound, f"{name}_p": effect.p}
                row[f"beyond_{name}"] = effect.exceeds_random()
        rows.append(row)
    return rows + [{"target": measured.target} | dict(row) for row in NOT_TESTED]


def _mean_effects(measured: Measured, kind: str, labels: Sequence[Label]) -> tuple[float, ...]:
    if not (measured.kind == kind).any():
        return ()
    baseline = measured.p(BASELINE, kind)
    return tuple(float((measured.p(label, kind) - baseline).mean()) for label in labels)


def all_directions(inputs: Inputs, choice: Choice, extras: Mapping[str, Extra]) -> dict[str, Extra]:
    """What each direction of the reasoning model's arms is, random ones left out."""
    units = unit_directions(inputs, choice, "reasoning")
    found = {
        name: Extra("action" if name == "action" else "matched", unit)
        for name, unit in units.items()
    }
    return found | dict(extras)


def usable_doses(dev: Measured, min_agreement: float, bootstrap: Bootstrap) -> dict[str, Any]:
    """The usable window: doses that leave the other predictions alone, on dev problems.

    `doses` has a row per arm; `windows` the lowest and the highest usable dose of each direction at
    decisions such that every dose between them and 0 is usable as well; 0 where there is none.
    """
    problems = list(dev.prefix_problem)
    rows = [
        {"direction": label.direction, "dose": label.dose, "where": label.where}
        | {f"agreement_{key}": value for key, value in asdict(interval).items()}
        | {"usable": interval.value is not None and interval.value >= min_agreement}
        for label, interval in zip(
            dev.labels, bootstrap.intervals(dev.forced.agreement.T, problems), strict=True
        )
        if label != BASELINE
    ]
    windows = []
    for name in dict.fromkeys(row["direction"] for row in rows):
        here = [row for row in rows if (row["direction"], row["where"]) == (name, "decision")]
        windows.append({"direction": name} | _window(here))
    return {"min_agreement": min_agreement, "doses": rows, "windows": windows}


def _window(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    ends = {}
    for end, sign in (("low", -1), ("high", 1)):
        ends[end] = 0.0
        one_sided = (row for row in rows if row["dose"] * sign > 0)
        for row in sorted(one_sided, key=lambda row: abs(row["dose"])):
            if not row["usable"]:
                break
            ends[end] = row["dose"]
    return ends


def _only(measured: Measured, names: Sequence[str]) -> Measured:
    """The baseline and the arms of these directions at decisions, at dose 1 and -1."""
    kept = [
        number
        for number, label in enumerate(measured.labels)
        if label == BASELINE
        or (label.direction in names and label.where == "decision" and abs(label.dose) == 1)
    ]
    return measured.with_only(kept)


def _at(inputs: Inputs, choice: Choice, role: str, form: str) -> list[Tensor]:
    """Directions of a form at the chosen layer: at the chosen window where it has that one."""
    places = {
        window: vector
        for name, vector in sorted(inputs.direction_by_name.items())
        for found, window in [_place(name, role, choice.layer)]
        if found == form
    }
    return [places[choice.window]] if choice.window in places else list(places.values())


def _place(name: str, role: str, layer: int) -> tuple[str, str]:
    """Form and window in a direction's name; empty where it is another role's or layer's."""
    first, _, rest = name.partition(".")
    parts = rest.rsplit(".", 2)
    if first != role or len(parts) != 3 or parts[2] != str(layer):
        return "", ""
    return parts[0], parts[1]


def _any(extras: Mapping[str, Extra]) -> Extra:
    return next(iter(extras.values()))
