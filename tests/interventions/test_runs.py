"""What all runs of a study share: every model is edited in its own units, by what it holds."""

from typing import Any, cast

import pytest
import torch

from backtracking.directions.forms import Contrast
from backtracking.interventions.runs import Setting
from backtracking.records.choices import Choice
from backtracking.records.directions import Direction, Directions
from backtracking.records.places import Place, Window

NORMS = {"base": 1.0, "reasoning": 2.0, "shuffled": 3.0}
CHOICE = Choice("reasoning", "base", 1, (-1, -1), 2.0)


def make_setting() -> Setting:
    """Directions of three models at three windows, the chosen one in the middle."""
    places = [
        (Place(role, "matched", window, layer), norm * scale + layer)
        for role, norm in NORMS.items()
        for window, scale in (((0, 0), 10.0), ((-1, -1), 1.0), ((-3, -3), 100.0))
        for layer in (0, 1)
    ]
    directions = (Direction(place, torch.tensor([norm, 0.0])) for place, norm in places)

    def contrast_at(role: str, layer: int, window: Window) -> Contrast:
        return cast(Any, (role, layer, window))

    nothing = cast(Any, None)
    found = Directions(tuple(directions))
    return Setting(nothing, found, nothing, (), None, nothing, contrast_at)


@pytest.mark.parametrize("role", NORMS)
def test_dose_1_is_the_own_class_distance_of_each_model_at_the_chosen_place(role: str) -> None:
    ground = make_setting().ground(role, CHOICE)
    assert ground.distance == NORMS[role] + 1
    assert cast(Any, ground.contrast) == (role, 1, (0, 0))
