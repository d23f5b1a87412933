"""Further arms are held against both nulls, and the usable window is told."""

import numpy as np
import pytest
from planted_runs import arm, cases, decisions_of, plant, randoms

from backtracking.effects.arms import compare_arms, usable_doses
from backtracking.effects.seen import Seen, key_of
from backtracking.records.measured import SHUFFLED, Arm, baseline
from backtracking.records.rows.choice import UsableWindow
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(50, 0.95, 0)
SHUFFLES = [Arm(f"null_{k}", SHUFFLED, dose, layer=1) for k in range(4) for dose in (1.0, -1.0)]
MEANS = [Arm("mean", "mean", dose, layer=1) for dose in (1.0, -1.0)]
KINDS = ["alive", "over"] * 10


def run(arms: list[Arm], seed: int, cosine: float = 0.5) -> Seen:
    """Arms whose effects are drawn, on the same decisions."""
    decisions = decisions_of(KINDS, [f"p{n // 4}" for n in range(len(KINDS))])
    rng = np.random.default_rng(seed)
    p = 0.3 + 0.1 * rng.standard_normal((len(arms), 1)) + 0.01 * rng.random((1, len(KINDS)))
    p[0] = 0.3
    return plant([*arms], p, decisions, cosine=cosine)


def test_every_arm_has_its_effect_beside_both_nulls() -> None:
    doses = [arm("base", dose) for dose in (1.0, -1.0, 2.0)] + [arm("base", 1.0, "all")]
    main = run([baseline(), *doses, *randoms(5)], 0)
    more = run([baseline(), *MEANS, *SHUFFLES], 1)
    both = main.joined(more)
    rows = compare_arms(both, cases(both), BOOTSTRAP)
    compared = {"base", "mean", *(f"null_{k}" for k in range(4))}
    assert {row.forced.arm.direction for row in rows} == compared
    assert {row.forced.arm.dose for row in rows} == {1.0, -1.0}
    assert {row.forced.arm.where for row in rows} == {"decision"}
    alive = np.array(KINDS) == "alive"
    null = [more.measured.values("p_open", one)[alive].mean() - 0.3 for one in SHUFFLES[::2]]
    (row,) = (
        row
        for row in rows
        if (row.forced.arm, row.forced.kind) == (key_of("reasoning", MEANS[0]), "alive")
    )
    assert row.forced.n_decisions == alive.sum() and row.cosine == 0.5
    shuffled = row.by_null[SHUFFLED]
    assert shuffled.bound == pytest.approx(max(null)) and shuffled.k == 4
    assert shuffled.p == (1 + (np.array(null) >= row.forced.effect.value).sum()) / 5
    assert row.verdict in ("holds", "fails")


def test_a_direction_of_a_null_is_held_against_the_others_of_it() -> None:
    """Against itself its rank would hang on last bits."""
    main = run([baseline(), *randoms(5), *SHUFFLES], 1)
    case = next(one for one in cases(main).listed if one.name == "alive")
    for chosen in (*SHUFFLES, *randoms(5)):
        others = [one for one in main.arms if one.group == chosen.group and one != chosen]
        assert main.like(chosen, chosen.group) == [one for one in others if one.dose == chosen.dose]
    ranks = set()
    for row in compare_arms(main, cases(main), BOOTSTRAP):
        if row.forced.kind == case.name and row.forced.arm.dose == 1:
            assert row.by_null[SHUFFLED].k == 3
            ranks.add(row.by_null[SHUFFLED].p)
    assert ranks == {1 / 4, 2 / 4, 3 / 4, 1.0}


def test_an_arm_without_a_cosine_has_none() -> None:
    main = run([baseline(), *MEANS, *randoms(2)], 0, cosine=np.nan)
    rows = compare_arms(main, cases(main), BOOTSTRAP)
    assert {row.cosine for row in rows} == {None}
    assert set(rows[0].by_null) == {"random"}


def on_dev(agreement: dict[float, float]) -> Seen:
    arms = [baseline(), *(arm("base", dose) for dose in agreement), arm("base", 1.0, "all")]
    values = np.tile(np.array([1.0, *agreement.values(), 0.2])[:, None], 4)
    decisions = decisions_of(["alive"] * 4, [f"p{k}" for k in range(4)])
    return plant(arms, np.zeros((len(arms), 4)), decisions, {"agreement": values})


def test_the_usable_window_ends_before_the_first_dose_that_changes_the_rest() -> None:
    agreement = {-2.0: 0.95, -1.0: 0.5, -0.5: 0.99, 0.5: 0.97, 1.0: 0.93, 2.0: 0.7}
    found = usable_doses(on_dev(agreement), 0.9, BOOTSTRAP)
    assert found.windows == (UsableWindow("base", -0.5, 1.0),)
    usable = {(row.dose, row.where): row.usable for row in found.doses}
    assert usable[-2.0, "decision"] and not usable[1.0, "all"] and len(usable) == 7
    none = usable_doses(on_dev({-1.0: 0.5, 1.0: 0.5}), 0.9, BOOTSTRAP)
    assert none.windows == (UsableWindow("base", 0.0, 0.0),)


def test_a_dose_that_leaves_others_alone_and_breaks_the_steered_place_is_not_usable() -> None:
    """Agreement elsewhere excludes the very place at which the model is broken."""
    arms = [baseline(), arm("base", 0.5), arm("base", 1.0)]
    decisions = decisions_of(["alive"] * 4, [f"p{k}" for k in range(4)])
    legal = np.array([[1.0], [0.95], [0.43]]) * np.ones((1, 4))
    kept = {"agreement": np.ones((3, 4))}
    seen = plant(arms, np.zeros((3, 4)), decisions, kept, more={"p_legal": legal})
    found = usable_doses(seen, 0.9, BOOTSTRAP)
    assert {row.dose: row.usable for row in found.doses} == {0.5: True, 1.0: False}
    assert found.doses[1].legal == pytest.approx(0.43)
    assert found.windows == (UsableWindow("base", 0.0, 0.5),)
