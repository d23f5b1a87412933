"""Necessity: projecting a direction out, and whether the report outlives it."""

import numpy as np
import pytest
import torch
from tiny_study import D_MODEL, LAYER, PLAN, WINDOW, make_inputs

from backtracking.effects.necessity import necessity, report_change, report_stays
from backtracking.interventions.runs import Choice
from backtracking.statistics.bootstrap import Bootstrap, Interval

BOOTSTRAP = Bootstrap(200, 0.95, 0)
PROBLEMS = [f"p{number:02}" for number in range(30)]


def stays(baseline: np.ndarray, arm: np.ndarray) -> str:
    found = report_change(baseline, arm, PROBLEMS, BOOTSTRAP)
    return report_stays(found["right_baseline"], found["right_change"])


def test_a_report_that_stays_right_stays_whatever_its_log_odds() -> None:
    right = np.full(30, 4.0)
    assert stays(right, right) == stays(right, right - 3) == "holds"


def test_a_report_that_turns_does_not_stay() -> None:
    right = np.full(30, 4.0)
    assert stays(right, np.where(np.arange(30) < 15, -1.0, 4.0)) == "fails"
    assert stays(right, np.where(np.arange(30) < 2, -1.0, 4.0)) == "untestable"


def test_a_model_that_does_not_report_right_cannot_be_tested() -> None:
    assert stays(np.tile([1.0, -1.0], 15), np.full(30, -1.0)) == "untestable"
    unknown = Interval(None, None, None, 0)
    assert report_stays(unknown, unknown) == "untestable"


def test_every_direction_has_its_row_and_a_direction_of_zeros_changes_nothing(tmp_path) -> None:
    inputs = make_inputs(tmp_path)
    units = {"own": torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()}
    units["nothing"] = torch.zeros(D_MODEL)
    own, nothing = necessity(PLAN, BOOTSTRAP, inputs, Choice(LAYER, WINDOW, 3.0), units)
    assert (own["direction"], nothing["direction"]) == ("own", "nothing")
    assert own["over_value"] != 0 and own["over_baseline"] == nothing["over_baseline"]
    for key in ("over_value", "alive_value", "right_change_value", "log_odds_change_value"):
        assert nothing[key] == pytest.approx(0, abs=1e-6)
    for row in (own, nothing):
        assert set(row["parts"]) == {"backtracking_falls", "report_stays"}
        assert row["verdict"] in ("holds", "fails", "untestable")
    assert nothing["parts"]["backtracking_falls"] == "fails"
