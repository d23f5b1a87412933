"""Directions that are steered along: a pair's own, other forms, controls, and random ones."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.directions import lens
from backtracking.interventions.plan import Plan, random_units
from backtracking.models.loading import LoadedModel, final_norm_gain, unembedding
from backtracking.records.choices import Choice
from backtracking.records.directions import Directions
from backtracking.records.measured import (
    ACTION,
    CONTROL,
    MATCHED,
    RANDOM,
    SHUFFLED,
    WITHOUT_MARKERS,
)
from backtracking.records.places import CONTROLS, Place

FORMS = ("unmarked", "keyword", "stable", "ward", "venhoff")
"""Other forms of a pair's directions."""


@dataclass(frozen=True)
class Along:
    """A direction to steer along.

    Attributes:
        name: as it stands in tables.
        group: what it is one of.
        unit: of norm 1, or zeros where nothing is left of it.
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
    directions: Directions, choice: Choice, base: str, studied: str
) -> list[Along]:
    """Everything else that is added in the model under study, at the chosen layer.

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
    return _against(own, _found(directions, [*forms, *means, *nulls, *stated]))


def control_directions(directions: Directions, choice: Choice) -> list[Along]:
    """The controls without training of a pair's base, where the pair is steered."""
    here = directions.of(role=choice.base, layer=choice.layer, window=choice.window)
    named = [
        (f"{form}.{place.state}" if place.state else form, CONTROL, place)
        for form in CONTROLS
        for place in here.of(form=form).places
    ]
    base = directions.get(matched_place(choice, choice.base))
    return _against(base, _found(directions, named))


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
