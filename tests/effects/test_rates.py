"""Tables of steering: planted probabilities come back, paired by decision and by problem."""

import numpy as np
import pytest

from backtracking.effects.rates import (
    BASELINE,
    KINDS,
    Label,
    Measured,
    dose_response,
    excess,
    signs,
    steered,
    tabulate,
    tabulate_elsewhere,
)
from backtracking.models.forced import Forced
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(300, 0.95, 0)
N_RANDOM, N_PROBLEMS = 39, 20
RATES = {"over": 0.6, "exhausted": 0.5, "doomed": 0.1, "alive": 0.1}
LABELS = [
    BASELINE,
    Label("base", 1.0, "decision"),
    Label("base", -1.0, "decision"),
    *(Label(f"random_{k}", dose, "decision") for k in range(N_RANDOM) for dose in (1.0, -1.0)),
]


def group_by(rows: list[dict], **match: object) -> list[dict]:
    """The rows that have these values."""
    return [row for row in rows if all(row[key] == value for key, value in match.items())]


def measured(raises: float, lowers: float, noise: float = 0.0, target: str = "reasoning"):
    """Decisions of all kinds in every problem; problems differ much, effects not at all."""
    rng = np.random.default_rng(0)
    kind = np.array(KINDS * N_PROBLEMS, dtype=object)
    numbers = np.repeat(np.arange(N_PROBLEMS), len(KINDS))
    offset = rng.uniform(-0.08, 0.08, N_PROBLEMS)
    baseline = np.array([RATES[one] for one in kind]) + offset[numbers]
    p = np.tile(baseline, (len(LABELS), 1))
    p[1] += raises * (kind == "alive")
    p[2] -= lowers * (kind == "over")
    p[3:] += rng.uniform(-0.02, 0.02, (2 * N_RANDOM, 1))
    p += noise * rng.standard_normal(p.shape)
    agreement = np.ones((len(LABELS), N_PROBLEMS))
    agreement[1] = 0.9
    kl = np.zeros_like(agreement)
    kl[1] = 0.25
    names = [f"p{number:02}" for number in range(N_PROBLEMS)]
    problem = np.array([names[number] for number in numbers], dtype=object)
    return Measured(target, LABELS, Forced(p, agreement, kl, 0.1 + kl, kl), kind, problem, names)


def test_planted_rates_and_effects_come_back_by_kind() -> None:
    rows = tabulate(measured(0.4, 0.3), BOOTSTRAP)
    assert len(rows) == len(KINDS) * len(LABELS)
    for kind, rate in RATES.items():
        (row,) = group_by(rows, kind=kind, direction="baseline")
        assert row["value"] == pytest.approx(rate, abs=0.05)
        assert (row["effect_value"], row["effect_low"], row["effect_high"]) == (0, 0, 0)
        assert (row["n"], row["n_decisions"]) == (N_PROBLEMS, N_PROBLEMS)
    (raised,) = group_by(rows, kind="alive", direction="base", dose=1.0)
    assert raised["effect_value"] == pytest.approx(0.4)
    (same,) = group_by(rows, kind="doomed", direction="base", dose=1.0)
    assert same["effect_value"] == pytest.approx(0.0)


def test_effects_are_paired_so_that_problems_do_not_widen_them() -> None:
    (row,) = group_by(
        tabulate(measured(0.4, 0.3), BOOTSTRAP), kind="alive", direction="base", dose=1.0
    )
    assert row["high"] - row["low"] > 0.02
    assert row["effect_high"] - row["effect_low"] < 1e-9


def test_a_kind_that_does_not_occur_has_no_row() -> None:
    one = measured(0.4, 0.3)
    kind = np.where(one.kind == "doomed", "alive", one.kind)
    other = Measured(one.target, one.labels, one.forced, kind, one.problem, one.prefix_problem)
    rows = tabulate(other, BOOTSTRAP)
    assert {row["kind"] for row in rows} == {"over", "exhausted", "alive"}


def test_steered_evidence_has_the_planted_contrast_effects_and_nulls() -> None:
    found = steered(measured(0.4, 0.3), "base", BOOTSTRAP)
    assert (found.target, found.direction) == ("reasoning", "base")
    assert found.contrast.value == pytest.approx(0.5)
    assert found.raises.interval.value == pytest.approx(0.4)
    assert found.lowers.interval.value == pytest.approx(-0.3)
    assert (found.raises.sign, found.lowers.sign) == (1, -1)
    assert len(found.raises.random) == len(found.lowers.random) == N_RANDOM
    assert max(map(abs, found.raises.random)) <= 0.02
    assert found.raises.random != found.lowers.random
    assert found.raises.exceeds_random() == found.lowers.exceeds_random() == "holds"


def test_no_effect_is_no_evidence() -> None:
    found = steered(measured(0.0, 0.0, noise=0.01), "base", BOOTSTRAP)
    assert found.raises.exceeds_random() == found.lowers.exceeds_random() == "fails"


def test_an_excess_is_the_difference_of_two_targets_on_the_same_decisions() -> None:
    one, other = measured(0.4, 0.3), measured(0.15, 0.3, target="shuffled")
    arm = Label("base", 1.0, "decision")
    found = excess((one, arm), (other, arm), "alive", BOOTSTRAP)
    assert found.value == pytest.approx(0.25) and found.n == N_PROBLEMS
    assert found.low == pytest.approx(0.25) and found.high == pytest.approx(0.25)
    back = excess((other, arm), (one, arm), "alive", BOOTSTRAP)
    assert back.value == pytest.approx(-0.25)


def test_changes_elsewhere_are_told_for_every_arm() -> None:
    rows = tabulate_elsewhere(measured(0.4, 0.3), BOOTSTRAP)
    assert len(rows) == len(LABELS)
    (row,) = group_by(rows, direction="base", dose=1.0)
    assert row["agreement_value"] == pytest.approx(0.9) and row["kl"] == pytest.approx(0.25)
    (row,) = group_by(rows, direction="baseline")
    assert row["agreement_value"] == 1 and row["kl"] == 0


def test_wait_elsewhere_is_told_as_a_paired_difference_to_the_baseline() -> None:
    rows = tabulate_elsewhere(measured(0.4, 0.3), BOOTSTRAP)
    (row,) = group_by(rows, direction="base", dose=1.0)
    assert row["wait_sentence_end"] == pytest.approx(0.35)
    for name in ("wait_sentence_end_value", "wait_mid_sentence_value"):
        assert row[name] == pytest.approx(0.25)
    (row,) = group_by(rows, direction="baseline")
    assert row["wait_sentence_end"] == pytest.approx(0.1) and row["wait_sentence_end_value"] == 0


def test_arms_are_joined_and_chosen_with_their_names() -> None:
    one = measured(0.4, 0.3)
    first, second = one.with_only([0, 1]), one.with_only([0, 2, 3])
    joined = first.with_arms_of(second)
    assert joined.labels == [LABELS[number] for number in (0, 1, 2, 3)]
    for label in joined.labels:
        assert np.array_equal(joined.p(label, "over"), one.p(label, "over"))


def at_doses(n: int, steps: dict[float, float], agreement: dict[float, float]) -> Measured:
    """Runs in which each dose of `base` adds its step at alive, and random ones 0.1 of the dose."""
    doses = list(steps)
    labels = [
        BASELINE,
        *(Label("base", dose, "decision") for dose in doses),
        *(Label(f"random_{k}", dose, "decision") for k in range(3) for dose in doses),
    ]
    rng = np.random.default_rng(n)
    problem = np.array([f"p{number:02}" for number in np.arange(n).repeat(4)], dtype=object)
    baseline = 0.1 + 0.01 * rng.standard_normal(len(problem))
    added = [0.0, *steps.values(), *(0.1 * dose for _ in range(3) for dose in doses)]
    p = baseline + np.array(added)[:, None] + 0.01 * rng.standard_normal((len(labels), 1))
    other = np.array([agreement.get(label.dose, 1.0) for label in labels])
    kind = np.full(len(problem), "alive", dtype=object)
    zero = np.zeros((len(labels), n))
    forced = Forced(p, np.tile(other[:, None], n), zero, zero, zero)
    return Measured("reasoning", labels, forced, kind, problem, sorted(set(problem)))


def test_a_curve_is_counted_beyond_random_directions_up_to_the_usable_peak() -> None:
    steps = {0.5: 0.25, 1.0: 0.5, 2.0: 0.5, 4.0: 1.2}
    agreement = {4.0: 0.5}
    test, dev = at_doses(30, steps, agreement), at_doses(12, steps, agreement)
    found = dose_response(test, dev, "base", "alive", 1, 0.9, BOOTSTRAP)
    assert (found.status, found.peak, found.n) == ("defined", 1.0, 30)
    assert found.effect == pytest.approx(0.4, abs=0.03)
    assert found.ed50 == pytest.approx(0.5, abs=0.06)


def test_signs_count_the_problems_that_go_the_claimed_way() -> None:
    found = measured(0.4, 0.3)
    found.forced.p_marked[1, found.problem == "p00"] -= 0.9
    rows = signs(found, BOOTSTRAP)
    (row,) = group_by(rows, kind="alive", direction="base")
    assert row["value"] == pytest.approx(1 - 1 / N_PROBLEMS)
    (row,) = group_by(rows, kind="over", direction="base")
    assert (row["dose"], row["value"]) == (-1.0, 1.0)
