"""Necessity: projecting a direction out, and whether the report outlives it."""

import numpy as np
import pytest
from planted_runs import cases, decisions_of, plant

from backtracking.effects.necessity import necessity, report_change, report_stays
from backtracking.effects.seen import see
from backtracking.records.intervals import Interval
from backtracking.records.measured import LOG_ODDS, Arm, Array, Measured, baseline
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
PROBLEMS = [f"p{number:02}" for number in range(30)]


def stays(baseline: np.ndarray, arm: np.ndarray) -> str:
    found = report_change(baseline, arm, PROBLEMS, BOOTSTRAP)
    return report_stays(found.right_baseline, found.right_change)


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


def test_every_direction_has_its_row_and_a_fall_is_held_against_random_ones() -> None:
    arms = [baseline()] + [
        Arm(name, group, 0.0, "decision", "project_out", layer=1)
        for name, group in (("own", "matched"), ("nothing", "form"), ("random_0", "random"))
    ]
    decisions = decisions_of(["over", "alive"] * 20, [f"p{n // 2:02}" for n in range(40)])
    p = np.tile(np.where(decisions.kind == "over", 0.6, 0.1), (4, 1))
    p[1] -= 0.5 * (decisions.kind == "over")
    p[3] -= 0.01 + 0.001 * np.arange(40)
    seen = plant(arms, p, decisions)
    asked = decisions[decisions.kind == "over"]
    log_odds = np.tile(np.linspace(1, 2, 20), (4, 1)) - np.array([[0], [0.5], [0], [0.1]])
    arrays = {LOG_ODDS: Array("decisions", log_odds)}
    measured = Measured("reasoning", "asked", tuple(arms), arrays, tuple(asked.ids))
    rows = necessity(seen, see(measured, decisions), cases(seen), BOOTSTRAP)
    assert [row.direction for row in rows] == ["own", "nothing"]
    own, nothing = rows
    over = own.by_kind["over"]
    assert over.effect.value == pytest.approx(-0.5) and over.baseline == pytest.approx(0.6)
    assert over.random_bound == pytest.approx(-0.029, abs=1e-3)
    assert own.parts == {"backtracking_falls": "holds", "report_stays": "holds"}
    assert own.report.log_odds_change.value == pytest.approx(-0.5) and own.verdict == "holds"
    assert own.log_odds_change_random_bound == pytest.approx(-0.1)
    assert nothing.by_kind["alive"].effect.value == 0
    assert nothing.parts["backtracking_falls"] == "fails"


def test_where_nothing_can_be_asked_the_report_is_untestable() -> None:
    arms = [baseline(), Arm("own", "matched", 0.0, "decision", "project_out", layer=1)]
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    seen = plant(arms, np.full((2, 4), 0.5), decisions)
    (row,) = necessity(seen, None, cases(seen), BOOTSTRAP)
    assert row.parts == {"backtracking_falls": "untestable", "report_stays": "untestable"}
    assert row.verdict == "untestable" and list(row.by_kind) == ["alive"]
    assert row.by_kind["alive"].effect.value == 0 and row.report.right_baseline.value is None
