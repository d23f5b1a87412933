"""The transfer matrix: an empty cell is no test unless its positive control holds."""

import numpy as np
import pytest
from planted_runs import arm, cases, decisions_of, measured

from backtracking.effects.reports import shift_of, tabulate_reports
from backtracking.effects.seen import Case, Seen, see
from backtracking.effects.transfer import judge, transfer_matrix
from backtracking.records.intervals import Interval
from backtracking.records.measured import LOG_ODDS, RANDOM, Arm, Array, Measured, baseline
from backtracking.statistics.bootstrap import Bootstrap
from backtracking.statistics.effect import Effect

NULL = tuple(np.linspace(-0.02, 0.02, 39).tolist())
NONE = Effect(Interval(0.0, -0.01, 0.01, 20), {"random": NULL})
LARGE = Effect(Interval(0.4, 0.35, 0.45, 20), {"random": NULL})
WITHIN = Effect(Interval(0.01, 0.005, 0.015, 20), {"random": NULL})
BOOTSTRAP = Bootstrap(50, 0.95, 0)
ALIVE = Case("alive", "kind", ("alive",))


@pytest.mark.parametrize("control", [None, NONE, WITHIN])
@pytest.mark.parametrize("effect", [NONE, LARGE])
def test_without_a_positive_control_a_cell_of_the_base_is_no_test(
    effect: Effect, control: Effect | None
) -> None:
    assert judge(effect, control, needs_control=True) == "no test"


@pytest.mark.parametrize(("effect", "verdict"), [(NONE, "fails"), (LARGE, "holds")])
def test_with_a_positive_control_a_cell_says_what_was_found(effect: Effect, verdict: str) -> None:
    assert judge(effect, LARGE, needs_control=True) == verdict
    assert judge(effect, None, needs_control=False) == verdict


def asked(shift: float, dose: float, kind: str) -> Seen:
    """Reports of the base at six decisions, under its own direction and three random ones."""
    names = [f"random_{k}" for k in range(3)]
    arms = (baseline(), arm("base", dose), *(Arm(one, RANDOM, dose, layer=1) for one in names))
    decisions = decisions_of([kind] * 6, ["a", "a", "b", "b", "c", "c"])
    level = np.linspace(-1, 1, 6)
    values = level + np.array([0.0, shift, 0.1, -0.1, 0.0])[:, None]
    arrays = {LOG_ODDS: Array("decisions", values)}
    return see(Measured("base", "asked", arms, arrays, tuple(decisions.ids)), decisions)


def test_a_shift_is_held_against_random_directions_at_its_own_dose() -> None:
    up, down = (
        shift_of(asked(shift, dose, kind), arm("base", dose), BOOTSTRAP)
        for shift, dose, kind in ((0.5, 1.0, "alive"), (-0.5, -1.0, "over"))
    )
    assert up is not None and down is not None
    assert (up.sign, down.sign) == (1, -1)
    assert up.verdict == down.verdict == "holds"
    assert len(up.nulls["random"]) == 3
    assert shift_of(asked(0.5, 1.0, "alive"), arm("reasoning", 1.0), BOOTSTRAP) is None
    assert shift_of(None, arm("base", 1.0), BOOTSTRAP) is None


def test_every_arm_has_its_report_and_the_baseline_has_no_shift() -> None:
    rows = tabulate_reports(asked(0.5, 1.0, "alive"), ALIVE, 1, BOOTSTRAP)
    assert [row.direction for row in rows][:2] == ["baseline", "base"] and len(rows) == 5
    assert {(row.target, row.kind, row.dose) for row in rows} == {("base", "alive", 1.0)}
    assert rows[0].shift.value == 0 and rows[1].shift.value == pytest.approx(0.5)


def test_planted_effects_stand_in_their_cells_with_their_verdicts() -> None:
    seen = measured(0.4, 0.3, target="base")
    questions = {
        ("base", "alive"): asked(0.5, 1.0, "alive"),
        ("base", "over"): asked(-0.01, -1.0, "over"),
    }
    rows = transfer_matrix([seen], lambda *_: seen, questions, ["base"], cases(seen), BOOTSTRAP)
    found = {row.kind: row for row in rows}
    alive, over = found["alive"], found["over"]
    assert alive.effect.value == pytest.approx(0.4) and alive.dose == 1
    assert over.effect.value == pytest.approx(-0.3) and over.dose == -1
    assert alive.control is not None and alive.control.verdict == "holds"
    assert (alive.verdict, over.verdict) == ("holds", "no test")


def test_without_any_question_the_cells_of_a_base_are_no_test_and_others_are_told() -> None:
    seen = [measured(0.4, 0.3, target=target) for target in ("base", "reasoning")]
    by_target = {one.target: one for one in seen}
    rows = transfer_matrix(
        seen, lambda target, _: by_target[target], {}, ["base"], cases(seen[0]), BOOTSTRAP
    )
    verdicts = {(row.target, row.kind): row.verdict for row in rows}
    assert {v for (target, _), v in verdicts.items() if target == "base"} == {"no test"}
    assert {v for (target, _), v in verdicts.items() if target == "reasoning"} == {"holds"}
    assert {row.control for row in rows} == {None}
