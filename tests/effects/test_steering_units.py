"""Tables of a whole stage: dose 1 is another one in every model, and so are its units."""

from dataclasses import replace

import numpy as np
import pytest
from planted_runs import arm, cases, decisions_of, plant, randoms

from backtracking.claims.verdicts import Known, judge_steering
from backtracking.effects.seen import Seen
from backtracking.effects.steering import (
    Steering,
    magnitudes,
    respond_to_doses,
    tabulate_controls,
)
from backtracking.records.choices import Choice, Scale
from backtracking.records.measured import CONTROL, MATCHED, Arm, Edit, baseline
from backtracking.records.places import Place
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(100, 0.95, 0)
SCALES = (Scale("reasoning", 8.0, 16.0), Scale("shuffled", 2.0, 5.0))
CHOICE = Choice("reasoning", "base", 1, (0, 0), 8.0, (), SCALES)
DOSES = (0.5, 1.0, 2.0)
KINDS = ["alive", "over"] * 6
PROBLEMS = [f"p{number // 2}" for number in range(12)]


def dosed(target: str, run: str) -> Seen:
    """Effects in proportion to the dose, at all decisions."""
    doses = [sign * dose for sign in (1, -1) for dose in DOSES]
    own = [arm("base", dose) for dose in doses]
    arms = [baseline(), *own, *randoms(2, doses)]
    p = np.array([0.4 + 0.1 * one.dose * (one.group == "matched") for one in arms])
    found = decisions_of(KINDS, PROBLEMS)
    noise = np.linspace(0, 0.01, 12)
    kept = {"agreement": np.ones((len(arms), 6))}
    return plant(arms, p[:, None] * (1 + noise), found, kept, target=target, run=run)


def test_dose_1_is_the_norm_of_each_models_own_direction() -> None:
    rows = magnitudes(CHOICE)
    assert [(row.role, row.norm, row.mean_residual_norms) for row in rows] == [
        ("reasoning", 8.0, 0.5), ("shuffled", 2.0, 0.4),
    ]  # fmt: skip


@pytest.mark.parametrize("scale", SCALES, ids=lambda one: one.role)
def test_ed50_is_told_in_units_of_the_model_that_was_steered(scale: Scale) -> None:
    test, dev = dosed(scale.role, "test"), dosed(scale.role, "dev")
    rows = respond_to_doses(test, dev, CHOICE, cases(test), 0.9, BOOTSTRAP)
    assert {(row.kind, row.sign) for row in rows} == {("alive", 1), ("over", -1)}
    for row in rows:
        assert row.response.ed50 == pytest.approx(1.0)
        assert row.ed50_norm == pytest.approx(scale.direction_norm)
        assert row.ed50_mean_residual_norms == pytest.approx(
            scale.direction_norm / scale.residual_norm
        )


def test_controls_without_training_are_judged_and_shown_beside_the_base() -> None:
    """One that is asked for and was not run is no reason to leave it out."""
    edits: tuple[tuple[str, str, Edit], ...] = (
        ("base", MATCHED, "set_projection"), ("word", CONTROL, "displace"),
        ("next.deduction", CONTROL, "displace"),
    )  # fmt: skip
    arms = [baseline()] + [
        Arm(name, group, dose, edit=edit, layer=1,
            place=Place("base", "matched" if group == MATCHED else name.split(".")[0]))
        for name, group, edit in edits
        for dose in (1.0, -1.0)
    ]  # fmt: skip
    p = np.full((len(arms), 12), 0.3)
    p[1], p[3], p[5] = 0.7, 0.35, 0.75
    own = plant(arms, p + np.linspace(0, 0.01, 12), decisions_of(KINDS, PROBLEMS), run="nulls-base")
    runs = {(run, "reasoning"): own for run in ("nulls-base", "nulls-reasoning", "affine")}
    found = Steering(runs, cases(own), ("reasoning",), {"reasoning": "base"}, ("base",))
    known = Known(untrained=("word", "next", "permuted"))
    primary, *_ = judge_steering(found, known, BOOTSTRAP)
    assert {part: told for part, told in primary.finding.parts.items() if "direction" in part} == {
        "beyond_direction_word": "holds",
        "beyond_direction_next.deduction": "fails",
        "beyond_direction_permuted": "untestable",
    }
    rows = [row for row in tabulate_controls(found, BOOTSTRAP) if row.kind == "alive"]
    effects = {(row.arm.direction, row.arm.dose): row.effect.value for row in rows}
    assert effects["base", 1.0] == pytest.approx(0.4) and len(effects) == 7
    assert effects["word", 1.0] == pytest.approx(0.05)


def test_exceeding_others_is_no_test_where_the_own_arm_breaks_the_model() -> None:
    """A model that is broken falls short of a control pair for no reason of the direction."""
    arms = [baseline(), arm("base", 1.0), arm("base", -1.0), *randoms(3)]
    decisions = decisions_of(KINDS, PROBLEMS)
    p = np.full((len(arms), 12), 0.3)
    legal = np.ones_like(p)
    legal[1] = 0.4
    own = plant(arms, p, decisions, more={"p_legal": legal})
    other = plant(arms, p + 0.2, decisions, target="shuffled", more={"p_legal": np.ones_like(p)})
    runs = {("test", "reasoning"): own, ("test", "shuffled"): other}
    pairs = {"reasoning": "base", "shuffled": "base"}
    found = Steering(runs, cases(own), tuple(pairs), {"reasoning": "base"}, ("base",))
    primary, *_ = judge_steering(replace(found, pairs=pairs), Known(), BOOTSTRAP)
    assert primary.finding.parts == {"legal": "no test", "reaches_floor": "no test"}
    assert primary.finding.verdict == "no test" and primary.finding.legal == pytest.approx(0.4)
