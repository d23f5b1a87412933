"""Directions that are steered along, and the arms that they make.

Beside matched directions stand other forms, other states, the mean, and three nulls: random
directions; those of shuffled labels, which hold what the activations of two arbitrary groups of
decisions differ by; and a fresh random vector at every decision, which tells what any push of that
size does.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions import lens
from backtracking.interventions.plan import Plan, Push, no_push, random_units
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.choices import Choice
from backtracking.records.directions import Directions
from backtracking.records.measured import (
    ACTION,
    MATCHED,
    NOISE,
    RANDOM,
    SHUFFLED,
    WITHOUT_MARKERS,
    Arm,
    Where,
)
from backtracking.records.places import Place

FORMS = ("unmarked", "keyword", "stable", "ward", "venhoff")
"""Other forms of a pair's directions."""

WHERES: tuple[Where, ...] = ("decision", "generated", "all")


@dataclass(frozen=True)
class Along:
    """A direction to steer along.

    Attributes:
        name: as it stands in tables.
        group: what it is one of.
        unit: of norm 1, or zeros where nothing is left of it; of `noise`, any of norm 1.
        place: where it was estimated; None for what was drawn.
        cosine: with the direction that it is held against; NaN where there is none.
    """

    name: str
    group: str
    unit: Float[Tensor, " d_model"]
    place: Place | None = None
    cosine: float = math.nan


def matched_place(choice: Choice, role: str) -> Place:
    """Where a role's matched direction of the chosen layer and window is."""
    return Place(role, "matched", choice.window, choice.layer)


def main_directions(
    directions: Directions, choice: Choice, target: str, sources: Sequence[str]
) -> list[Along]:
    """The matched directions of a target's sources, and the target's `action`, where it has one."""
    named = [(role, MATCHED, matched_place(choice, role)) for role in sources]
    named.append((ACTION, ACTION, Place(target, "action")))
    own = directions.get(matched_place(choice, target))
    return _against(own, _found(directions, named))


def random_directions(plan: Plan, d_model: int, n: int | None = None) -> list[Along]:
    """The plan's random directions, or the first of them."""
    units = list(random_units(plan, d_model).items())[:n]
    return [Along(name, RANDOM, unit) for name, unit in units]


def further_directions(
    directions: Directions, choice: Choice, plan: Plan, base: str, studied: str
) -> list[Along]:
    """Everything else that the model under study is steered along, at the chosen layer.

    Forms are taken at the chosen window where they have it, and at their own otherwise; states, the
    mean and shuffled labels are the studied model's.
    """
    own = directions.get(matched_place(choice, studied))
    here = directions.of(layer=choice.layer)
    forms = [
        (f"{role}.{form}", "form", place)
        for role in (base, studied)
        for form in FORMS
        for place in _at_window(here.of(role=role, form=form), choice)
    ]
    mine = here.of(role=studied)
    means = [("mean", "mean", place) for place in mine.of(form="mean").places[:1]]
    nulls = [
        (f"null_{place.number}", SHUFFLED, place)
        for place in mine.of(form="null", window=choice.window).places
    ]
    states = {place.state: place for place in mine.of(form="state").places}
    stated = [(f"state.{name}", "state", place) for name, place in sorted(states.items(), key=str)]
    noise = [Along(f"noise_{n}", NOISE, own / own.norm()) for n in range(plan.n_noise)]
    return _against(own, _found(directions, [*forms, *means, *nulls, *stated])) + noise


def without_markers(
    loaded: LoadedModel, whole: Iterable[Along], marker_ids: Sequence[int]
) -> list[Along]:
    """Each direction without the part that this model's unembedding rows of the markers span.

    Where it then steers no less, it did not only write the word. Zeros stand for a direction of
    which nothing is left. Its cosine is with the whole direction.
    """
    gain, w_u = final_norm_gain(loaded), unembedding(loaded)
    found = []
    for one in whole:
        (rest,) = lens.without_markers(one.unit[None].to(w_u.device), w_u, gain, marker_ids)
        is_left = rest.norm() > 1e-6
        unit = (rest / rest.norm()).float().cpu() if is_left else torch.zeros_like(one.unit)
        cosine = float(unit.double() @ one.unit.double())
        name = f"{one.name} {WITHOUT_MARKERS}"
        found.append(Along(name, WITHOUT_MARKERS, unit, one.place, cosine))
    return found


def main_arms(
    plan: Plan, choice: Choice, main: Sequence[Along], randoms: Sequence[Along], *, has_doses: bool
) -> list[Push]:
    """The baseline, directions at all doses, and random ones at dose 1 and -1.

    Args:
        plan: the doses.
        choice: layer, and the norm of dose 1.
        main: directions, at every dose; at dose 1 and -1 everywhere, else at decisions.
        randoms: the null.
        has_doses: whether some of the null is run at the other doses too.
    """
    arms = [no_push(len(main[0].unit))]
    arms += [
        push(one, choice, dose, where)
        for one in main
        for dose in plan.doses
        for where in WHERES
        if where == "decision" or abs(dose) == 1
    ]
    arms += [push(one, choice, dose) for one in randoms for dose in (1.0, -1.0)]
    if has_doses:
        others = sorted({*plan.doses} - {1.0, -1.0})
        few = randoms[: plan.n_few_random]
        arms += [push(one, choice, dose) for one in few for dose in others]
    return arms


def arms_at(
    plan: Plan, choice: Choice, directions: Sequence[Along], doses: Sequence[float]
) -> list[Push]:
    """The baseline, and directions at decisions; noise at positive doses only."""
    noise = [one.name for one in directions if one.group == NOISE]
    arms = [no_push(len(directions[0].unit))] if directions else []
    for one in directions:
        for dose in doses:
            if one.group != NOISE:
                arms.append(push(one, choice, dose))
            elif dose > 0:
                made = push(one, choice, dose, edit="noise")
                arms.append(replace(made, seed=plan.seed + noise.index(one.name)))
    return arms


def removals(choice: Choice, directions: Sequence[Along]) -> list[Push]:
    """The baseline, and every direction projected out at decisions."""
    return [no_push(len(directions[0].unit))] + [
        Push(Arm(one.name, one.group, 0.0, "decision", "project_out", one.place, choice.layer),
             one.unit, one.cosine)
        for one in directions
    ]  # fmt: skip


def push(
    along: Along,
    choice: Choice,
    dose: float,
    where: Where = "decision",
    edit: Literal["add", "noise"] = "add",
) -> Push:
    """A direction at a dose."""
    arm = Arm(along.name, along.group, dose, where, edit, along.place, choice.layer)
    return Push(arm, dose * choice.norm * along.unit, along.cosine)


def _found(directions: Directions, named: Iterable[tuple[str, str, Place]]) -> list[Along]:
    """Those of the named directions that there are, with norm 1."""
    found = []
    for name, group, place in named:
        vector = directions.get(place) if group == MATCHED else directions.find(place)
        if vector is not None and vector.any():
            found.append(Along(name, group, vector / vector.norm(), place))
    return found


def _against(own: Float[Tensor, " d_model"], found: Sequence[Along]) -> list[Along]:
    """The same with their cosines to a direction."""
    unit = own / own.norm()
    return [replace(one, cosine=float(one.unit @ unit)) for one in found]


def _at_window(found: Directions, choice: Choice) -> list[Place]:
    places = found.of(window=choice.window).places or found.places
    return list(places[:1])
