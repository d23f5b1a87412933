"""The transfer matrix: an empty cell is no test unless its positive control holds."""

import numpy as np
import pytest
from effects.test_rates import measured
from tiny_study import LAYER, PLAN, WINDOW, make_inputs

from backtracking.effects.transfer import cell, transfer_matrix
from backtracking.interventions.questions import report, shift_of
from backtracking.interventions.runs import Choice, Inputs, force
from backtracking.statistics.bootstrap import Bootstrap, Interval
from backtracking.statistics.effect import Effect

RANDOM = tuple(np.linspace(-0.02, 0.02, 39))
NONE = Effect(Interval(0.0, -0.01, 0.01, 20), RANDOM)
LARGE = Effect(Interval(0.4, 0.35, 0.45, 20), RANDOM)
WITHIN = Effect(Interval(0.01, 0.005, 0.015, 20), RANDOM)
BOOTSTRAP = Bootstrap(50, 0.95, 0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize("control", [None, NONE, WITHIN])
@pytest.mark.parametrize("effect", [NONE, LARGE])
def test_without_a_positive_control_a_cell_of_the_base_is_no_test(
    effect: Effect, control: Effect | None
) -> None:
    found = cell(effect, control, needs_control=True)
    assert found["verdict"] == "no test"
    assert found["value"] == effect.interval.value


@pytest.mark.parametrize(("effect", "verdict"), [(NONE, "fails"), (LARGE, "holds")])
def test_with_a_positive_control_a_cell_says_what_was_found(effect: Effect, verdict: str) -> None:
    found = cell(effect, LARGE, needs_control=True)
    assert found["verdict"] == verdict and found["control"]["verdict"] == "holds"
    assert cell(effect, None, needs_control=False)["verdict"] == verdict


def rows_of(shift: float, dose: float, kind: str) -> list[dict]:
    """Reports of the base under its own direction and three random ones."""
    values = {"base": shift, "random_0": 0.1, "random_1": -0.1, "random_2": 0.0}
    return [
        {"target": "base", "direction": name, "dose": dose, "kind": kind, "value": value}
        | {"low": value - 0.05, "high": value + 0.05, "n": 9}
        for name, value in values.items()
    ]


def test_a_shift_is_held_against_random_directions_at_its_own_dose() -> None:
    rows = rows_of(0.5, 1.0, "alive") + rows_of(-0.5, -1.0, "over")
    up, down = (shift_of(rows, "base", "base", kind) for kind in ("alive", "over"))
    assert up is not None and down is not None
    assert (up.sign, down.sign) == (1, -1)
    assert up.exceeds_random() == down.exceeds_random() == "holds"
    assert len(up.random) == 3
    assert shift_of(rows, "base", "reasoning", "alive") is None


def test_planted_effects_stand_in_their_cells_with_their_verdicts(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted runs have the base's direction only, so it is the only source."""
    monkeypatch.setattr(Inputs, "sources", lambda _self, _target: ["base"])
    runs = {"base": measured(0.4, 0.3, target="base")}
    good, bad = rows_of(0.5, 1.0, "alive"), rows_of(-0.01, -1.0, "over")
    found = {row["kind"]: row for row in transfer_matrix(inputs, runs, good + bad, BOOTSTRAP)}
    assert found["alive"]["value"] == pytest.approx(0.4)
    assert found["over"]["value"] == pytest.approx(-0.3)
    assert found["alive"]["verdict"] == "holds" and found["over"]["verdict"] == "no test"


def test_every_source_and_target_has_its_cells(inputs: Inputs) -> None:
    choice = Choice(LAYER, WINDOW, 3.0)
    runs = {target: force(PLAN, inputs, choice, target) for target in inputs.targets}
    reports = report(PLAN, BOOTSTRAP, inputs, choice, "base")
    reports += report(PLAN, BOOTSTRAP, inputs, choice, "base", kind="over", dose=-1.0)
    rows = transfer_matrix(inputs, runs, reports, BOOTSTRAP)
    expected = {
        (source, target, kind)
        for target in inputs.targets
        for source in inputs.sources(target)
        for kind in ("alive", "over")
    }
    assert {(row["source"], row["target"], row["kind"]) for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert (row["control"] is not None) == (row["target"] == "base")
