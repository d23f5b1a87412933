"""Verdicts on whole generations, on planted outcomes."""

import numpy as np
import pytest

from backtracking.effects.rollouts import Observed
from backtracking.effects.without_components import (
    JUDGED,
    compare,
    judge,
    tabulate_runs,
    to_claim,
    with_any,
)
from backtracking.records.measured import Arm
from backtracking.records.rollouts import Rollouts
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(300, 0.95, 0)
N_PROBLEMS = 60
MLP = Arm("mlp.1", "mlp", where="all", edit="ablate", layer=1, component="mlp", value="mean")
TOP = Rollouts("reasoning", "top_1", "top", (MLP,), ())


def run(backtracking: float, solving: float, validity: float, seed: int = 0) -> dict[str, Observed]:
    """A run with these rates, over problems with two sentences each."""
    rng = np.random.default_rng(seed)
    names = [f"p{number:02}" for number in range(N_PROBLEMS)]
    draws = {name: rng.random(20 * N_PROBLEMS) for name in JUDGED}

    def observe(measure: str, rate: float, n: int) -> Observed:
        values = (draws[measure][: n * N_PROBLEMS] < rate).astype(float).tolist()
        return Observed(values, [name for name in names for _ in range(n)])

    return {
        "backtracking_rate": observe("backtracking_rate", backtracking, 20),
        "solve_rate": observe("solve_rate", solving, 1),
        "conditional_validity": observe("conditional_validity", validity, 20),
    }


WHOLE = run(0.2, 0.7, 0.98)
RANDOMS = [run(0.18, 0.65, 0.95, seed) for seed in (1, 2, 3)]
OUTCOMES = {
    "specific": (run(0.02, 0.66, 0.96, 4), RANDOMS),
    "unspecific": (run(0.02, 0.1, 0.4, 4), RANDOMS),
    "no effect": (run(0.2, 0.7, 0.98, 4), RANDOMS),
}


@pytest.mark.parametrize("expected", OUTCOMES)
def test_planted_outcomes_have_their_verdicts(expected: str) -> None:
    chosen, randoms = OUTCOMES[expected]
    compared = compare(WHOLE, chosen, randoms, BOOTSTRAP)
    verdict, parts = judge(compared, 0.5)
    assert verdict == expected
    assert all(parts.values()) == (expected == "specific")
    row = to_claim(TOP, compared, (verdict, parts))
    found = row.evidence.finding
    assert found.verdict == ("holds" if expected == "specific" else "fails")
    assert (row.evidence.finding.why, row.outcome) == ("without mlp.1", expected)
    assert found.n == N_PROBLEMS and found.p is not None and found.p >= 1 / 4


def test_a_fall_that_random_sets_have_as_well_is_not_specific() -> None:
    falls_too = [*RANDOMS[:2], run(0.02, 0.65, 0.95, 5)]
    verdict, parts = judge(compare(WHOLE, run(0.02, 0.66, 0.96, 4), falls_too, BOOTSTRAP), 0.5)
    assert verdict == "unspecific" and not parts["falls_beyond_each_random_set"]
    assert parts["solve_rate_not_beyond_random"] and parts["solve_rate_kept"]


def test_where_random_sets_break_the_model_as_well_a_broken_model_is_still_not_specific() -> None:
    """As published: 68 % -> 2.8 % backtracking, and 20 % -> 1 % solved, as for random sets."""
    broken = [run(0.15, 0.01, 0.5, seed) for seed in (1, 2, 3)]
    verdict, parts = judge(compare(WHOLE, run(0.01, 0.04, 0.5, 4), broken, BOOTSTRAP), 0.5)
    assert parts["falls_beyond_each_random_set"] and parts["solve_rate_not_beyond_random"]
    assert verdict == "unspecific" and not parts["solve_rate_kept"]


@pytest.mark.parametrize(
    ("whole", "randoms"),
    [
        (run(0.0, 0.7, 0.98), RANDOMS),
        (run(0.2, 0.0, 0.98), RANDOMS),
        (WHOLE, []),
        ({"solve_rate": WHOLE["solve_rate"]}, RANDOMS),
    ],
)
def test_what_cannot_fall_or_has_nothing_beside_it_is_untestable(whole, randoms) -> None:
    compared = compare(whole, run(0.02, 0.66, 0.96, 4), randoms, BOOTSTRAP)
    judged = judge(compared, 0.5)
    assert judged[0] == "untestable"
    assert to_claim(TOP, compared, judged).evidence.finding.verdict == "untestable"


def test_changes_are_the_planted_ones_and_the_null_is_the_largest_random_fall() -> None:
    compared = compare(WHOLE, OUTCOMES["specific"][0], RANDOMS, BOOTSTRAP)
    one = compared["backtracking_rate"]
    assert one.change.value == pytest.approx(-0.18, abs=0.03)
    assert one.excess.value == pytest.approx(-0.16, abs=0.03)
    mean = np.mean([excess.value or 0 for excess in one.excess_by_set])
    assert one.excess.value == pytest.approx(mean)
    row = to_claim(TOP, compared, judge(compared, 0.5))
    assert row.evidence.finding.null == min(interval.value or 0 for interval in one.random)


def test_a_rollout_backtracks_where_any_of_its_sentences_does() -> None:
    sentences = Observed([0.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"])
    one = with_any({"backtracking_rate": sentences})["backtracks_rate"]
    assert (one.values, one.problem_ids) == ([1.0, 0.0], ["a", "b"])
    assert with_any({}) == {}


def test_every_top_set_is_held_against_the_random_sets_of_its_size_in_its_own_model() -> None:
    second = Arm("mlp.2", "mlp", where="all", edit="ablate", layer=2, component="mlp", value="mean")
    runs = []
    for target in ("reasoning", "shuffled"):
        rows = [
            ("baseline", "baseline", ()),
            ("top_1", "top", (MLP,)),
            ("random_1_0", "random", (second,)),
        ]
        rows += [("top_2", "top", (MLP, second)), ("random_2_0", "random", (second, MLP))]
        for number, (name, group, arms) in enumerate(rows):
            found = run(0.2 - 0.03 * number, 0.7, 0.98, number)
            runs.append((Rollouts(target, name, group, arms, ()), found))
    free, outcomes, evidence = tabulate_runs(runs, BOOTSTRAP, 0.5)
    assert [(row.evidence.finding.why, row.target) for row in evidence] == [
        ("without mlp.1", "reasoning"), ("without mlp.1+mlp.2", "reasoning"),
        ("without mlp.1", "shuffled"), ("without mlp.1+mlp.2", "shuffled"),
    ]  # fmt: skip
    assert {len(row.outcome.random) for row in outcomes} == {1}
    measures = (*JUDGED, "backtracks_rate")
    assert [row.measure for row in free] == [*measures] * len(runs)
    assert free[4].components == ("mlp.1",) and free[0].components == ()
    level = {(row.target, row.arm, row.measure): row.level.value for row in free}
    for row in outcomes:
        key = (row.target, f"top_{row.k}", row.measure)
        assert row.outcome.level.value == level[key]
        assert row.outcome.baseline.value == level[row.target, "baseline", row.measure]


def test_without_grades_every_top_set_is_untestable() -> None:
    known = {name: one for name, one in WHOLE.items() if name != "solve_rate"}
    runs = [(Rollouts("reasoning", "baseline", "baseline", (), ()), known), (TOP, known)]
    _, _, (row,) = tabulate_runs(runs, BOOTSTRAP, 0.5)
    found = row.evidence.finding
    assert found.verdict == row.outcome == "untestable" and found.parts == {}
