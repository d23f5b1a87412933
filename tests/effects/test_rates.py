"""Tables of steering: planted probabilities come back, paired by decision and by problem."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
from planted_runs import (
    ACTIONS,
    ARMS,
    CLASSES,
    N_PROBLEMS,
    N_RANDOM,
    RATES,
    arm,
    cases,
    decisions_of,
    measured,
    numbers,
    plant,
    randoms,
)

from backtracking.effects.rates import (
    dose_response,
    effect_of,
    excess,
    signs,
    steered,
    tabulate,
    tabulate_ceiling,
    tabulate_elsewhere,
)
from backtracking.effects.seen import Case, Seen, cases_of
from backtracking.records.measured import Arm, baseline
from backtracking.records.rows.arms import ArmKey
from backtracking.records.rows.table import first
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(300, 0.95, 0)
R = TypeVar("R")
ALIVE, OVER = Case("alive", "kind", ("alive",)), Case("over", "kind", ("over",))


def along(rows: Sequence[R], direction: str, dose: float, kind: str | None = None) -> R:
    """The row of an arm at decisions, of a kind where rows have one."""
    arm = ArmKey("reasoning", direction, dose, "decision", "add" if dose else "none")
    match = {"arm": arm} if kind is None else {"arm": arm, "kind": kind}
    row = first(rows, **match)
    assert row is not None
    return row


def test_planted_rates_and_effects_come_back_by_kind() -> None:
    seen = measured(0.4, 0.3)
    rows = tabulate(seen, cases(seen), BOOTSTRAP)
    assert len(rows) == len(RATES) * len(ARMS)
    assert list(dict.fromkeys(row.kind for row in rows)) == list(RATES)
    for kind, rate in RATES.items():
        row = along(rows, "baseline", 0.0, kind)
        assert row.level.value == pytest.approx(rate, abs=0.05)
        assert (row.effect.value, row.effect.low, row.effect.high) == (0, 0, 0)
        assert (row.level.n, row.n_decisions) == (N_PROBLEMS, N_PROBLEMS)
    raised = along(rows, "base", 1.0, "alive")
    assert raised.effect.value == pytest.approx(0.4)
    same = along(rows, "base", 1.0, "doomed")
    assert same.effect.value == pytest.approx(0.0)


def test_effects_are_paired_so_that_problems_do_not_widen_them() -> None:
    seen = measured(0.4, 0.3)
    rows = tabulate(seen, cases(seen), BOOTSTRAP)
    row = along(rows, "base", 1.0, "alive")
    (_, low, high), (_, lower, higher) = numbers(row.level), numbers(row.effect)
    assert high - low > 0.02 and higher - lower < 1e-9


def test_only_kinds_that_occur_have_rows() -> None:
    decisions = decisions_of(["alive", "over", "solved"] * 2, ["a"] * 3 + ["b"] * 3)
    seen = plant(ARMS[:2], np.full((2, 6), 0.5), decisions)
    rows = tabulate(seen, cases(seen), BOOTSTRAP)
    assert list(dict.fromkeys(row.kind for row in rows)) == ["over", "alive"]


def test_where_no_kind_is_known_there_are_rows_by_action() -> None:
    actions = ["turns", "goes on", "goes on"] * 2
    decisions = decisions_of([None] * 6, ["a"] * 3 + ["b"] * 3, actions)
    p = np.array([[0.5] * 6, [0.5, 0.7, 0.7] * 2, [0.2, 0.5, 0.5] * 2])
    seen = plant([baseline(), arm("base", 1.0), arm("base", -1.0)], p, decisions)
    found = cases_of(decisions, ACTIONS)
    rows = tabulate(seen, found, BOOTSTRAP)
    assert list(dict.fromkeys(row.kind for row in rows)) == ["turns", "goes on"]
    evidence = steered(seen, "base", found, BOOTSTRAP)
    assert evidence.raises.interval.value == pytest.approx(0.2)
    assert evidence.lowers.interval.value == pytest.approx(-0.3)
    assert evidence.raises.verdict == "untestable"


def test_classes_of_kinds_that_nobody_knows_have_no_rows_and_no_effect() -> None:
    decisions = decisions_of([None] * 4, ["a", "a", "b", "b"], ["goes on"] * 4)
    seen = plant(ARMS[:2], np.full((2, 4), 0.5), decisions)
    found = cases_of(decisions, CLASSES)
    assert found.listed == () and tabulate(seen, found, BOOTSTRAP) == []
    assert signs(seen, found, BOOTSTRAP) == []
    evidence = steered(seen, "base", found, BOOTSTRAP)
    assert evidence.contrast.value is None
    assert evidence.raises.verdict == evidence.lowers.verdict == "untestable"


def test_steered_evidence_has_the_planted_contrast_effects_and_nulls() -> None:
    seen = measured(0.4, 0.3)
    found = steered(seen, "base", cases(seen), BOOTSTRAP)
    assert (found.target, found.direction) == ("reasoning", "base")
    assert (found.live, found.dead) == ("alive", "over")
    assert found.contrast.value == pytest.approx(0.5)
    assert found.raises.interval.value == pytest.approx(0.4)
    assert found.lowers.interval.value == pytest.approx(-0.3)
    assert (found.raises.sign, found.lowers.sign) == (1, -1)
    up, down = (one.nulls["random"] for one in (found.raises, found.lowers))
    assert len(up) == len(down) == N_RANDOM
    assert max(map(abs, up)) <= 0.02
    assert up != down
    assert found.raises.verdict == found.lowers.verdict == "holds"


def test_no_effect_is_no_evidence() -> None:
    seen = measured(0.0, 0.0, noise=0.01)
    found = steered(seen, "base", cases(seen), BOOTSTRAP)
    assert found.raises.verdict == found.lowers.verdict == "fails"


def test_an_arm_that_was_not_run_has_no_effect() -> None:
    assert effect_of(measured(0.4, 0.3), None, ALIVE, BOOTSTRAP).interval.value is None


def test_an_excess_is_the_difference_of_two_targets_on_the_same_decisions() -> None:
    one, other = measured(0.4, 0.3), measured(0.15, 0.3, target="shuffled")
    base = arm("base", 1.0)
    found = excess((one, base), (other, base), ALIVE, BOOTSTRAP)
    assert found.value == pytest.approx(0.25) and found.n == N_PROBLEMS
    assert found.low == pytest.approx(0.25) and found.high == pytest.approx(0.25)
    back = excess((other, base), (one, base), ALIVE, BOOTSTRAP)
    assert back.value == pytest.approx(-0.25)


def test_changes_elsewhere_are_told_for_every_arm() -> None:
    rows = tabulate_elsewhere(measured(0.4, 0.3), BOOTSTRAP)
    assert len(rows) == len(ARMS)
    row = along(rows, "base", 1.0)
    assert row.agreement.value == pytest.approx(0.9) and row.kl == pytest.approx(0.25)
    row = along(rows, "baseline", 0.0)
    assert row.agreement.value == 1 and row.kl == 0


def test_wait_elsewhere_is_told_as_a_paired_difference_to_the_baseline() -> None:
    rows = tabulate_elsewhere(measured(0.4, 0.3), BOOTSTRAP)
    row = along(rows, "base", 1.0)
    assert row.wait_sentence_end == pytest.approx(0.35)
    assert row.wait_sentence_end_value == pytest.approx(0.25)
    assert row.wait_mid_sentence_value == pytest.approx(0.25)
    row = along(rows, "baseline", 0.0)
    assert row.wait_sentence_end == pytest.approx(0.1) and row.wait_sentence_end_value == 0


def at_doses(
    n: int,
    steps: dict[float, float],
    agreement: dict[float, float],
    legal: dict[float, float] | None = None,
) -> Seen:
    """Runs in which each dose of `base` adds its step at alive, and random ones 0.1 of the dose."""
    doses = list(steps)
    arms = [baseline(), *(arm("base", dose) for dose in doses), *randoms(3, doses)]
    rng = np.random.default_rng(n)
    problem = [f"p{number:02}" for number in np.arange(n).repeat(4)]
    level = 0.1 + 0.01 * rng.standard_normal(len(problem))
    added = [0.0, *steps.values(), *(0.1 * dose for _ in range(3) for dose in doses)]
    p = level + np.array(added)[:, None] + 0.01 * rng.standard_normal((len(arms), 1))
    other = np.array([agreement.get(one.dose, 1.0) for one in arms])
    decisions = decisions_of(["alive"] * len(problem), problem)
    kept = np.array([(legal or {}).get(one.dose, 1.0) for one in arms])
    more = {"p_legal": np.tile(kept[:, None], len(problem))}
    return plant(arms, p, decisions, {"agreement": np.tile(other[:, None], n)}, more=more)


def test_a_curve_is_counted_beyond_random_directions_up_to_the_usable_peak() -> None:
    steps = {0.25: 0.05, 0.5: 0.25, 1.0: 0.5, 2.0: 0.5, 4.0: 1.2}
    agreement = {4.0: 0.5}
    test, dev = at_doses(30, steps, agreement), at_doses(12, steps, agreement)
    found = dose_response(test, dev, arm("base", 1.0), ALIVE, 1, 0.9, BOOTSTRAP)
    assert (found.status, found.peak, found.n) == ("defined", 1.0, 30)
    assert found.effect == pytest.approx(0.4, abs=0.03)
    assert found.ed50 == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("what", ["agreement", "legal"])
def test_neither_the_curve_nor_a_resample_of_it_goes_on_where_the_model_is_broken(
    what: str,
) -> None:
    """At 1.0 the model is broken, whatever it does there and at 2.0, where it looks whole again."""
    steps = {0.25: 0.05, 0.5: 0.3, 1.0: 0.9, 2.0: 1.2}
    broken = {"agreement": {1.0: 0.5}, "legal": {}} if what == "agreement" else {"agreement": {}}
    broken["legal"] = {1.0: 0.5} if what == "legal" else {}
    test, dev = at_doses(30, steps, **broken), at_doses(12, steps, **broken)
    found = dose_response(test, dev, arm("base", 1.0), ALIVE, 1, 0.9, BOOTSTRAP)
    assert (found.status, found.peak) == ("censored", 0.5)
    assert found.share_censored == 1.0 and found.effect == pytest.approx(0.25, abs=0.03)


def test_signs_count_the_problems_that_go_the_claimed_way() -> None:
    found = measured(0.4, 0.3)
    p = found.measured.arrays["p_open"]
    values = p.values.copy()
    values[1, found.decisions.problem == "p00"] -= 0.9
    arrays = dict(found.measured.arrays) | {"p_open": replace(p, values=values)}
    found = replace(found, measured=replace(found.measured, arrays=arrays))
    rows = signs(found, cases(found), BOOTSTRAP)
    row = along(rows, "base", 1.0, "alive")
    assert row.share.value == pytest.approx(1 - 1 / N_PROBLEMS)
    row = along(rows, "base", -1.0, "over")
    assert row.share.value == 1.0


def test_what_is_taken_back_does_not_count_and_a_broken_cell_is_no_test() -> None:
    """P(an opener) rises by idle remarks alone: the endpoint is P(backtrack), where it is known."""
    arms = [baseline(), arm("base", 1.0), *randoms(3, (1.0,))]
    decisions = decisions_of(["alive"] * 6, ["a", "a", "b", "b", "c", "c"])
    opens = np.full((5, 6), 0.14) + np.array([[0], [0.4], [0.02], [0.01], [0.0]])
    back = np.full((5, 6), 0.0003) + np.array([[0], [0.02], [np.nan], [0.01], [0.0]])
    legal = np.full((5, 6), 0.95) - np.array([[0], [0.5], [0], [0], [0]])
    seen = plant(arms, opens, decisions, more={"p_back": back, "p_legal": legal})
    found = effect_of(seen, arms[1], ALIVE, BOOTSTRAP)
    assert seen.endpoint == "P_back" and found.interval.value == pytest.approx(0.02)
    assert found.nulls["random"] == pytest.approx((0.02, 0.01, 0.0))
    assert (found.verdict, found.legal) == ("no test", pytest.approx(0.45))
    row = along(tabulate(seen, cases(seen), BOOTSTRAP), "base", 1.0, "alive")
    assert (row.endpoint, row.test, row.legal) == ("P_back", "no test", pytest.approx(0.45))


def test_the_affine_arm_is_judged_beside_the_nulls_that_are_displaced_as_far() -> None:
    affine = replace(arm("base", 1.0), edit="set_projection")
    nulls = [Arm(f"isotropic_{k}", "isotropic", 1.0, edit="displace", layer=1) for k in range(4)]
    arms = [baseline(), arm("base", 1.0), affine, *nulls, *randoms(2, (1.0,))]
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    steps = np.array([0, 0.1, 0.3, *(0.01 * k for k in range(4)), 0.5, 0.5])
    seen = plant(arms, 0.1 + steps[:, None] * np.ones((1, 4)), decisions)
    found = steered(seen, "base", cases(seen), BOOTSTRAP)
    assert found.raises.interval.value == pytest.approx(0.3)
    assert {name: bar.k for name, bar in found.raises.bars.items()} == {"isotropic": 4}
    assert found.how == "set to the other class's mean"
    assert effect_of(seen, arms[1], ALIVE, BOOTSTRAP).bars["random"].k == 2


def test_an_effect_is_told_as_a_share_of_what_the_donors_state_does() -> None:
    patch = Arm("patch", "patch", 1.0, edit="patch", layer=1)
    arms = [baseline(), patch, replace(arm("base", 1.0), edit="set_projection")]
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    p = np.array([[0.1] * 4, [0.5] * 4, [0.3] * 4])
    rows = tabulate_ceiling(plant(arms, p, decisions), ALIVE, BOOTSTRAP)
    assert [row.of_ceiling.value for row in rows] == pytest.approx([1.0, 0.5])
    assert tabulate_ceiling(None, ALIVE, BOOTSTRAP) == []


def test_an_effect_is_told_in_log_odds_which_a_rare_state_does_not_keep_small() -> None:
    affine = replace(arm("base", 1.0), edit="set_projection")
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    p = np.array([[0.001] * 4, [0.01] * 4])
    seen = plant([baseline(), affine], p, decisions)
    found = steered(seen, "base", cases(seen), BOOTSTRAP)
    assert found.log_odds is not None
    assert numbers(found.log_odds) == pytest.approx([np.log(0.01 / 0.99 * 0.999 / 0.001)] * 3)


@pytest.mark.parametrize("never", [0.0, 1.0])
def test_of_what_never_or_always_happens_there_are_no_log_odds(never: float) -> None:
    affine = replace(arm("base", 1.0), edit="set_projection")
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    seen = plant([baseline(), affine], np.array([[never] * 4, [0.3] * 4]), decisions)
    found = steered(seen, "base", cases(seen), BOOTSTRAP)
    assert found.log_odds is not None
    assert found.log_odds.value is None


def test_an_interval_holds_for_directions_that_are_estimated_again_and_so_does_an_excess() -> None:
    """One direction moves all decisions alike: what varies is which direction it came out as."""
    affine = replace(arm("base", 1.0), edit="set_projection")
    again = [replace(affine, name=f"base.retrained_{k}", group="retrained") for k in range(5)]
    arms, decisions = (
        [baseline(), affine, *again],
        decisions_of(["alive"] * 4, ["a", "a", "b", "b"]),
    )
    steps = np.array([0, 0.3, 0.1, 0.2, 0.3, 0.4, 0.5])
    seen = plant(arms, 0.1 + steps[:, None] * np.ones((1, 4)), decisions)
    found = effect_of(seen, affine, ALIVE, BOOTSTRAP)
    assert found.resampled == "test and train problems"
    assert numbers(found.interval) == pytest.approx((0.3, 0.1, 0.5))
    other = plant(arms[:2], np.array([[0.1] * 4, [0.15] * 4]), decisions)
    beyond = excess((seen, affine), (other, affine), ALIVE, BOOTSTRAP)
    assert numbers(beyond) == pytest.approx((0.25, 0.05, 0.45))
    conditional = effect_of(other, affine, ALIVE, BOOTSTRAP)
    assert conditional.resampled == "test problems"
    assert numbers(conditional.interval) == pytest.approx((0.05, 0.05, 0.05))


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param([0.21, 0.19], id="perhaps not at all"),
        pytest.param([0.2001, 0.2002], id="surely, and next to nothing"),
    ],
)
def test_where_the_donors_state_moves_nothing_there_is_no_share_of_it(moved: list[float]) -> None:
    patch = Arm("patch", "patch", 1.0, edit="patch", layer=1)
    arms = [baseline(), patch, replace(arm("base", 1.0), edit="set_projection")]
    decisions = decisions_of(["alive"] * 8, list("abcdefgh"))
    p = np.array([[0.2] * 8, moved * 4, [0.3] * 8])
    rows = tabulate_ceiling(plant(arms, p, decisions), ALIVE, BOOTSTRAP)
    assert [row.of_ceiling.value for row in rows] == [None, None]
    assert [round(row.forced.effect.value or 0, 3) for row in rows] == [0.0, 0.1]


def test_where_donors_are_read_the_ceiling_is_of_what_lowers() -> None:
    patch = Arm("patch", "patch", -1.0, edit="patch", layer=1)
    arms = [baseline(), patch, replace(arm("base", -1.0), edit="set_projection")]
    decisions = decisions_of(["alive"] * 4, ["a", "a", "b", "b"])
    back = plant(arms, np.array([[0.5] * 4, [0.1] * 4, [0.2] * 4]), decisions)
    rows = tabulate_ceiling(back, cases_of(decisions, CLASSES).donors, BOOTSTRAP)
    assert [row.of_ceiling.value for row in rows] == pytest.approx([1.0, 0.75])
    assert {(row.forced.kind, row.forced.arm.dose) for row in rows} == {("over", -1.0)}
    assert rows[1].forced.effect.value == pytest.approx(-0.3)
