"""Planted readouts go through the tables and come out with the verdicts that were planted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backtracking.belief.measure import clean_arm
from backtracking.belief.necessity import necessity_of
from backtracking.belief.tables import (
    LEVELS,
    judge_belief,
    tabulate_betas,
    tabulate_ceilings,
    tabulate_levels,
)
from backtracking.belief.trial import CLEAN, DIRECTION, DONOR, FORCED, PATCH, RANDOM, Trial
from backtracking.models.prefixes import SPANS
from backtracking.records.measured import Arm, Array, Measured
from backtracking.records.rows.belief import Dose
from backtracking.records.rows.table import first
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
PROBLEMS = [f"p{n // 3}" for n in range(60)]
CLEAN_LEVEL, NATURAL = -18.0, 30.0
SHARES = {"v": 0.9, "w": 0.05, "action": 0.3, "random_0": 0.1, "random_1": 0.5}
"""What each arm moves the report by, as a share of the natural difference, under E2."""


def plant(patch: float = 1.0, wait: float = 1.5, sign: int = 1, **changed: Any) -> Trial:
    """Every arm at layer 2: nothing under E1, its share under E2, all with the patch's marker."""
    rng = np.random.default_rng(0)
    arms, shares = [clean_arm()], [0.0]
    for name, share in {PATCH: patch, **SHARES}.items():
        group = name if name == PATCH else RANDOM if name.startswith(RANDOM) else DIRECTION
        for span in SPANS:
            arms.append(Arm(name, group, 1.0, span, layer=2))
            shares.append(share if span == "onwards" else 0.0)
    arms += [Arm(name, name, edit="none") for name in (DONOR, FORCED)]
    shares += [1.0, 1.0]
    noise = rng.normal(size=(len(arms), len(PROBLEMS)))
    noise[-2:] = 0
    values = sign * (CLEAN_LEVEL + NATURAL * np.array(shares)[:, None] + noise)
    waits = np.full((len(arms), len(PROBLEMS)), sign * wait)
    waits[0] = 0
    arrays = {name: Array("pairs", waits if name == "a" else values) for name in LEVELS}
    pairs = tuple(f"t@{n}" for n in range(len(PROBLEMS)))
    doses = {(name, 2): Dose(1.0, True, 1.5, 1.5, 0.1) for name in ("v", "w", "action")}
    measured = Measured("reasoning", "test", tuple(arms), arrays, pairs=pairs)
    return Trial(measured, PROBLEMS, doses | changed.get("doses", {}), sign)


def verdicts(trial: Trial) -> dict[tuple[str, str], str]:
    rows = tabulate_betas(trial, BOOTSTRAP)
    return {(row.direction, row.span): row.score.verdict for row in rows if row.readout == "b"}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_belief_and_a_planted_action_are_told_apart(sign: int) -> None:
    """Whether donors are the dead ends or the points."""
    found = verdicts(plant(sign=sign))
    assert found["v", "E2"] == "belief" and found["w", "E2"] == "action"
    assert found["action", "E2"] == "mixed"


def test_where_the_patch_is_not_read_every_direction_is_untestable_and_has_no_beta() -> None:
    rows = [row for row in tabulate_betas(plant(), BOOTSTRAP) if row.span == "E1"]
    assert {row.score.verdict for row in rows} == {"untestable"}
    assert {row.score.beta.value for row in rows} == {None}
    assert all(row.change.value is not None for row in rows)


@pytest.mark.parametrize(("patch", "wait"), [(0.4, 1.5), (1.0, 0.0)])
def test_a_weak_ceiling_or_one_without_the_marker_tests_nothing(patch: float, wait: float) -> None:
    assert set(verdicts(plant(patch, wait)).values()) == {"untestable"}
    assert not any(row.testable for row in tabulate_ceilings(plant(patch, wait), BOOTSTRAP))


def test_directions_without_a_dose_have_a_row_all_the_same() -> None:
    doses = {("none", 2): Dose(0.0, False, 0.0, 1.5, 0.0)}
    rows = [r for r in tabulate_betas(plant(doses=doses), BOOTSTRAP) if r.direction == "none"]
    assert {row.score.verdict for row in rows} == {"untestable"} and len(rows) == 4


def test_a_belief_hangs_on_action_having_a_dose() -> None:
    unreached = {("action", 2): Dose(1.0, False, 1.0, 1.5, 0.1)}
    found = verdicts(plant(doses=unreached))
    assert found["v", "E2"] == "untestable" and found["w", "E2"] == "action"


def test_beta_null_and_flips_are_those_that_were_planted() -> None:
    rows = tabulate_betas(plant(), BOOTSTRAP)
    row = first(rows, direction="v", span="E2", readout="b")
    assert row is not None
    assert row.score.beta.value == pytest.approx(0.9, abs=0.02)
    assert row.score.minus_action.value == pytest.approx(0.6, abs=0.02)
    assert row.score.null is not None and 0.45 < row.score.null < 0.5
    assert row.score.p == pytest.approx(1 / 3) and row.score.flipped == 1.0
    assert row.wait_share == pytest.approx(1.0)


def test_the_claim_holds_for_a_belief_beyond_random_directions_only() -> None:
    rows = tabulate_betas(plant(), BOOTSTRAP)
    assert judge_belief(rows, "v", "reasoning", 2).finding.verdict == "holds"
    assert judge_belief(rows, "w", "reasoning", 2).finding.verdict == "fails"
    assert judge_belief(rows, "v", "reasoning", 2, "E1").finding.verdict == "untestable"
    none = judge_belief([], "v", "reasoning", 2, reason="no pairs").finding
    assert (none.verdict, none.why, none.parts) == ("untestable", "no pairs", {})
    as_good = [replace(row, score=replace(row.score, null=0.95)) for row in rows]
    assert judge_belief(as_good, "v", "reasoning", 2).finding.verdict == "fails"


@pytest.mark.parametrize(
    ("p_without", "b_without", "falls", "stays"),
    [(0.3, 9.0, "holds", "holds"), (0.3, 2.0, "holds", "fails"), (0.55, 9.0, "fails", "holds")],
)
def test_necessity_tells_the_fall_of_acting_from_that_of_the_report(
    p_without: float, b_without: float, falls: str, stays: str
) -> None:
    rng = np.random.default_rng(0)
    p = np.stack([np.full(60, 0.55), p_without + 0.01 * rng.normal(size=60)])
    b = np.stack([np.full(60, 10.0), b_without + rng.normal(size=60)])
    row = necessity_of(p, b, [-0.05, 0.0, 0.01], PROBLEMS, BOOTSTRAP)
    assert (row.falls, row.report_stays) == (falls, stays)
    assert row.change.value == pytest.approx(p_without - 0.55, abs=0.01)
    assert row.report_kept.value == pytest.approx(b_without / 10, abs=0.05)


def test_levels_are_raw_and_name_the_donors_own_and_the_forced_run_without_a_place() -> None:
    rows = [row for row in tabulate_levels(plant(), BOOTSTRAP) if row.readout == "b"]
    levels = {(row.name, row.layer, row.span): row.level.value for row in rows}
    assert levels[CLEAN, 0, "E1"] == pytest.approx(CLEAN_LEVEL, abs=0.5)
    assert levels[DONOR, None, None] == levels[FORCED, None, None] == CLEAN_LEVEL + NATURAL
    assert levels["v", 2, "E2"] == pytest.approx(CLEAN_LEVEL + 0.9 * NATURAL, abs=0.5)
    assert not any(name.startswith(RANDOM) for name, *_ in levels)
