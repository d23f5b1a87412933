"""Choices and rollouts come back as they were written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtracking.records.choices import (
    Choice,
    Scale,
    Scored,
    read_choice,
    read_repeats,
    write_choices,
)
from backtracking.records.measured import Arm
from backtracking.records.rollouts import Rollouts, read_rollouts, write_rollouts
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

GRID = (Scored(1, (-3, -3), 2.0, 0.1, 0.2, 0.05, 0.99), Scored(1, (0, 0), 2.0, 0.1, 0.2, 0.07, 1.0))
CHOICE = Choice("reasoning", "base", 1, (0, 0), 2.0, GRID, (Scale("base", 1.0, 3.0),))
TRACES = tuple(
    Trace(f"{name}/0", name, "test", 0, [1], ids, "", "stop", {"seed": 1})
    for name, ids in (("a", [2, 3]), ("b", []), ("c", [4]))
)


def test_choices_come_back_the_studys_own_and_those_of_further_pairs(tmp_path: Path) -> None:
    other = replace(CHOICE, model="reasoning-2", scales=())
    write_choices(tmp_path, CHOICE, (other,))
    assert read_choice(tmp_path) == CHOICE and read_repeats(tmp_path) == (other,)
    (tmp_path / "choice.json").write_text("{}")
    with pytest.raises(UserError, match="choice.json: expected"):
        read_choice(tmp_path)


def test_rollouts_come_back_in_order_with_the_surprise_of_every_token(tmp_path: Path) -> None:
    arm = Arm("base", "matched", 1.0, layer=1)
    nll = (np.array([0.5, 0.25]), np.zeros(0), np.array([1.5]))
    written = [
        Rollouts("reasoning", "baseline", "baseline", (), TRACES, nll),
        Rollouts("reasoning", "base.+1", "matched", (arm,), TRACES[::-1]),
    ]
    write_rollouts(tmp_path, written)
    first, second = read_rollouts(tmp_path)
    assert second == written[1]
    assert replace(first, nll=None) == replace(written[0], nll=None)
    assert first.nll is not None
    for found, expected in zip(first.nll, nll, strict=True):
        assert np.array_equal(found, expected)
