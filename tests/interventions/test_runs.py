"""What all runs of a study share: every model is edited in its own units, by what it holds."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from backtracking.directions.forms import Contrast
from backtracking.interventions.runs import second_jobs
from backtracking.interventions.setting import Job, Setting
from backtracking.records.choices import Choice
from backtracking.records.directions import Direction, Directions
from backtracking.records.measured import Measured
from backtracking.records.places import Place, Window

NORMS = {"base": 1.0, "reasoning": 2.0, "shuffled": 3.0}
SCALES = {(0, 0): 10.0, (-1, -1): 1.0, (-3, -3): 100.0}
CHOICE = Choice("reasoning", "base", 1, (-1, -1), 2.0)


def setting() -> SimpleNamespace:
    """Directions of three models at three windows, the chosen one in the middle."""
    found = (
        Direction(Place(role, "matched", window, layer), torch.tensor([norm * scale + layer, 0.0]))
        for role, norm in NORMS.items()
        for window, scale in SCALES.items()
        for layer in (0, 1)
    )
    return SimpleNamespace(directions=Directions(tuple(found)), contrast_at=contrast_at)


def contrast_at(role: str, layer: int, window: Window) -> Contrast:
    """Rows that name what was asked for."""
    rows = torch.tensor([[NORMS[role], layer], [window[0], window[1]]], dtype=torch.float32)
    return Contrast(rows, torch.tensor([True, False]), torch.zeros(2).long(), torch.arange(2))


@pytest.mark.parametrize("role", NORMS)
def test_dose_1_is_the_own_class_distance_of_each_model_at_the_chosen_place(role: str) -> None:
    ground = Setting.ground(setting(), role, CHOICE)  # type: ignore[arg-type]
    assert ground.distance == NORMS[role] + 1
    assert ground.contrast.activations.tolist() == [[NORMS[role], 1], [0, 0]]


@pytest.mark.parametrize("run", ["test", "nulls-base", "affine"])
def test_what_a_run_is_called_does_not_tell_whether_it_is_drawn(run: str) -> None:
    drawing = object.__new__(Setting)
    object.__setattr__(drawing, "plan", SimpleNamespace(drawn=SimpleNamespace(n=1)))
    assert second_jobs(drawing, Job(partial(list)), Measured("reasoning", run, (), {}), []) == []
