"""Planted readouts go through the tables and come out with the verdicts that were planted."""

from collections.abc import Mapping

import numpy as np
import pytest

from backtracking.belief.measure import clean_arm
from backtracking.effects.belief.claim import claim_layer, judge_belief
from backtracking.effects.belief.tables import (
    ratios,
    tabulate_betas,
    tabulate_ceilings,
    tabulate_null,
)
from backtracking.effects.belief.tabulating import tabulate
from backtracking.effects.belief.trial import Trial
from backtracking.models.prefixes import SPANS
from backtracking.records.measured import PATCHED, RANDOM, Arm, Array, Measured
from backtracking.records.pairs import MinimalPair
from backtracking.records.rows.belief import (
    DIRECTION,
    DONOR,
    BeliefEvidence,
    Beta,
    Dose,
    Matched,
    Selection,
)
from backtracking.records.rows.table import Row, first
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(200, 0.95, 0)
PROBLEMS = [f"p{n // 3}" for n in range(60)]
CLEAN_LEVEL, NATURAL, LAYER = -18.0, 30.0, 2
SHARES = {"v": 0.9, "w": 0.05, "action": 0.3, "random_0": 0.1, "random_1": 0.5}
"""What each arm moves the readouts by, as a share of the natural difference, under E2."""
UNREAD = dict.fromkeys(SHARES, 0.0)


def plant(
    patch: float = 1.0,
    wait: float = 1.5,
    sign: int = 1,
    n_layers: int = 4,
    shares: Mapping[str, float] = SHARES,
    c: float = 1.0,
    doses: dict[tuple[str, int], Dose] | None = None,
) -> Trial:
    """Every arm at layer 2: nothing under E1, its share under E2, all with the patch's marker.

    `c` is what readout C moves by as a share of what B does; NaN where it is not asked.
    """
    rng = np.random.default_rng(0)
    arms, moved = [clean_arm()], [0.0]
    for name, share in {PATCHED: patch, **shares}.items():
        group = name if name == PATCHED else RANDOM if name.startswith(RANDOM) else DIRECTION
        for span in SPANS:
            arms.append(Arm(name, group, 1.0, span, layer=LAYER))
            moved.append(share if span == "onwards" else 0.0)
    arms.append(Arm(DONOR, DONOR, edit="none"))
    by_arm = np.array([*moved, 1.0])[:, None]
    noise = 0.3 * rng.normal(size=(len(arms), len(PROBLEMS)))
    noise[-1] = 0
    b = CLEAN_LEVEL + NATURAL * by_arm + noise
    of_c = np.array([*(c * np.array(moved)), 1.0 if np.isfinite(c) else np.nan])[:, None]
    waits = np.full((len(arms), len(PROBLEMS)), wait)
    waits[0], waits[-1] = 0, 1.6
    arrays = {
        "a": sign * waits,
        "b": sign * b,
        "c": sign * (CLEAN_LEVEL + NATURAL * of_c + noise),
        "fluent": np.full_like(b, 0.99),
    }
    pairs = tuple(f"t@{n}" for n in range(len(PROBLEMS)))
    arrays = {name: Array("pairs", values) for name, values in arrays.items()}
    measured = Measured("reasoning", "test", tuple(arms), arrays, pairs=pairs)
    found = {(name, LAYER): Dose(1.0, True, 1.5, 1.5, 0.1) for name in ("v", "w", "action")}
    return Trial(measured, PROBLEMS, found | (doses or {}), n_layers, sign)


def betas(trial: Trial) -> list[Beta]:
    return tabulate_betas(trial, tabulate_null(trial), BOOTSTRAP)


def verdicts(trial: Trial) -> dict[tuple[str, str], str]:
    return {
        (row.direction, row.span): row.score.verdict for row in betas(trial) if row.readout == "b"
    }


def claim(trial: Trial, direction: str = "v", layer: int = LAYER) -> BeliefEvidence:
    ceilings = tabulate_ceilings(trial, BOOTSTRAP)
    return judge_belief(betas(trial), ceilings, direction, "reasoning", layer)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_belief_and_a_planted_action_are_told_apart(sign: int) -> None:
    """Whether donors are the dead ends or the points."""
    found = verdicts(plant(sign=sign))
    assert found["v", "E2"] == "belief" and found["w", "E2"] == "action"
    assert found["action", "E2"] == "mixed"


def test_what_nothing_reads_is_called_so_and_has_no_beta() -> None:
    """The marker moves by 94 % of its natural difference, and the report by nothing: an action."""
    rows = [row for row in betas(plant()) if row.span == "E1"]
    assert {row.score.verdict for row in rows} == {"not read by the report"}
    assert {row.score.beta.value for row in rows} == {None}
    assert all(row.score.share.value == pytest.approx(0, abs=0.01) for row in rows)


def test_at_the_last_layer_nothing_is_tested_however_well_the_patch_works() -> None:
    trial = plant(n_layers=LAYER + 1)
    assert set(verdicts(trial).values()) == {"untestable"}
    rows = tabulate_ceilings(trial, BOOTSTRAP)
    assert {row.standing for row in rows} == {"untestable"}
    assert rows[2].ceiling.patch.value == pytest.approx(1.0, abs=0.01)
    assert claim(trial).finding.verdict == "untestable"


@pytest.mark.parametrize(("patch", "wait"), [(0.4, 1.5), (1.0, 0.0)])
def test_a_weak_ceiling_or_one_without_the_marker_tests_nothing(patch: float, wait: float) -> None:
    rows = [row for row in betas(plant(patch, wait)) if row.span == "E2"]
    assert {row.score.verdict for row in rows} == {"untestable"}
    assert all(row.score.reason for row in rows)


def test_directions_without_a_dose_have_a_row_all_the_same() -> None:
    doses = {("none", LAYER): Dose(0.0, False, 0.0, 1.5, 0.0)}
    rows = [row for row in betas(plant(doses=doses)) if row.direction == "none"]
    assert {row.score.verdict for row in rows} == {"untestable"} and len(rows) == 4


def test_a_belief_hangs_on_action_having_a_dose() -> None:
    unreached = {("action", LAYER): Dose(1.0, False, 1.0, 1.5, 0.1)}
    found = verdicts(plant(doses=unreached))
    assert found["v", "E2"] == "untestable" and found["w", "E2"] == "action"


def test_every_row_stands_beside_the_null_of_its_own_place() -> None:
    rows = betas(plant())
    for row in rows:
        bound = 0.5 if row.span == "E2" else 0.0
        assert row.score.null == pytest.approx(bound, abs=0.01) and row.score.p is not None
        assert row.score.flipped_null == 0.0
    row = first(rows, direction="v", span="E2", readout="b")
    assert row is not None and row.score.p == pytest.approx(1 / 3)
    assert row.score.share.value == pytest.approx(0.9, abs=0.02)
    assert row.score.beta.value == pytest.approx(0.9, abs=0.02)
    assert row.score.minus_action.value == pytest.approx(0.6, abs=0.02)
    assert row.score.flipped.value == 1.0 and row.fluent == 1.0
    assert row.marker == pytest.approx(1.0)


def test_a_large_beta_is_no_belief_where_random_ones_are_as_large_or_flip_as_much() -> None:
    """Log-odds that are brought near to 0 are far from where they were, and no other answer."""
    below = plant(shares=SHARES | {"random_0": 0.95})
    row = first(betas(below), direction="v", span="E2", readout="b")
    assert row is not None and row.score.verdict == "mixed" and row.score.flipped_null == 1.0
    assert row.score.null is not None and row.score.share.value is not None
    assert row.score.beta.low is not None and row.score.beta.low > 0.5
    saturated = plant(shares=SHARES | {"v": 0.58})
    row = first(betas(saturated), direction="v", span="E2", readout="b")
    assert row is not None and row.score.beta.low is not None and row.score.null is not None
    assert row.score.beta.low > 0.5 and (row.score.share.value or 0) > row.score.null
    assert row.score.flipped.low == 0 and row.score.verdict == "mixed"
    assert "flip as many" in row.score.reason


def test_answers_that_were_the_donors_before_are_not_flipped() -> None:
    trial = plant(shares=SHARES | {"v": 0.7})
    values = trial.measured.values("b")
    values[0, :15] = 1.0
    row = first(betas(trial), direction="v", span="E2", readout="b")
    assert row is not None and row.score.flipped.value == pytest.approx(0.75)


def test_the_claim_holds_for_a_belief_on_both_readouts_and_its_reason_is_a_sentence() -> None:
    found = claim(plant()).finding
    assert found.verdict == "holds" and not found.parts
    assert found.why.startswith("at layer 2, where the donor's state moves the marker by 93.7 %")
    assert claim(plant(), "w").finding.verdict == "fails"
    assert "the report moves by 90." in found.why
    on_one = claim(plant(c=0.02)).finding
    assert on_one.verdict == "fails" and "the claim that follows does not read" in on_one.why
    assert claim(plant(c=np.nan)).finding.verdict == "holds"


def test_a_claim_of_what_no_report_reads_fails_and_says_that_it_is_an_action() -> None:
    found = claim(plant(patch=0.01, shares=UNREAD)).finding
    assert found.verdict == "fails"
    assert "the report does not read" in found.why and "the marker by 93.7 %" in found.why
    assert found.estimate == pytest.approx(0, abs=0.01) and found.null is not None


def test_a_claim_without_rows_is_untestable_for_the_reason_that_is_given() -> None:
    none = judge_belief([], [], "v", "reasoning", LAYER, "no pairs").finding
    assert (none.verdict, none.why) == ("untestable", "no pairs")


def test_the_claim_stands_on_the_layer_that_was_chosen_or_below_the_last() -> None:
    assert [claim_layer(chosen, 4, range(4)) for chosen in range(4)] == [0, 1, 2, 2]
    assert [claim_layer(chosen, 8, (1, 4, 7)) for chosen in (1, 4, 7)] == [1, 4, 4]


def test_ratios_are_over_the_natural_difference_and_over_the_patch() -> None:
    means = np.array([[10.0, 5.0, 2.0, 4.0], [10.0, -1.0, 2.0, 4.0]])
    found = ratios(means, against=0)
    np.testing.assert_allclose(found[0], [0.2, 0.4, 0.4, 0.8, 0.0, 0.4])
    assert np.isnan(found[1, 2:]).all() and np.isfinite(found[1, :2]).all()
    assert np.isnan(ratios(means, None)[0, 4:]).all()


@pytest.mark.parametrize("truth", [0.0, 0.15, 0.4, 0.9])
def test_the_interval_of_beta_holds_the_planted_share(truth: float) -> None:
    row = first(betas(plant(shares=SHARES | {"v": truth})), direction="v", span="E2", readout="b")
    assert row is not None and row.score.beta.value == pytest.approx(truth, abs=0.02)
    low, high = row.score.beta.low, row.score.beta.high
    assert low is not None and high is not None and low < truth + 0.01 and high > truth - 0.01


def study(n_layers: int, reason: str = "") -> Selection:
    """What `belief` would have chosen: layer 3, and the planted doses."""
    doses = tuple(Matched("reasoning", *place, dose) for place, dose in plant().doses.items())
    return Selection(3, "0:0", "dev", {}, doses, {"reasoning": n_layers}, 1, reason)


def test_a_models_tables_are_those_of_its_trial_and_claims_stand_below_the_last_layer() -> None:
    trial = plant()
    pairs = [
        MinimalPair(f"t@{n}", "t", problem, "test", "x", None, 0, [0], [], [], [])
        for n, problem in enumerate(PROBLEMS)
    ]
    bases = {"reasoning": "v", "silent": "base"}
    found = tabulate(study(4), bases, [trial.measured], pairs, BOOTSTRAP)
    assert found["betas"] == betas(trial) and found["null"] == tabulate_null(trial)
    assert found["ceilings"] == tabulate_ceilings(trial, BOOTSTRAP)
    claims = {row.finding.pair: row.finding for row in map(evidence, found["evidence"])}
    assert claims["v -> reasoning"] == claim(trial).finding
    assert claims["silent -> silent"].verdict == "untestable"


def test_without_pairs_there_are_no_rows_and_every_claim_is_untestable_with_the_reason() -> None:
    bases = {"trained": "plain", "control": "plain"}
    found = tabulate(study(4, "there are no pairs"), bases, [], [], BOOTSTRAP)
    claims = [row.finding for row in map(evidence, found.pop("evidence"))]
    pairs = ["trained -> trained", "plain -> trained", "control -> control", "plain -> control"]
    assert [one.pair for one in claims] == pairs
    assert {(one.verdict, one.why) for one in claims} == {("untestable", "there are no pairs")}
    assert not any(found.values())


def evidence(row: Row) -> BeliefEvidence:
    assert isinstance(row, BeliefEvidence)
    return row
