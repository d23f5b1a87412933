"""The arms of a model: every direction that there is, at its doses, with what it is."""

import math

import pytest
import torch

from backtracking.interventions.arms import (
    arms_at,
    further_directions,
    main_arms,
    main_directions,
    random_directions,
    removals,
)
from backtracking.interventions.plan import Plan
from backtracking.records.choices import Choice
from backtracking.records.directions import Direction, Directions
from backtracking.records.places import Place

PLAN = Plan((-2.0, -1.0, 1.0, 2.0), 1, 5, 3, 1, 2, 8, 0.9, 40, 64, 3)
WINDOW, LAYER, D_MODEL = (0, 0), 0, 16
CHOICE = Choice("reasoning", "base", LAYER, WINDOW, 3.0)
STATES = ("deduction", "uncertainty-estimation")
FORMS = ("unmarked", "keyword", "stable", "ward", "venhoff")


def make_directions() -> Directions:
    """Base, reasoning and a control pair, with directions that are drawn at random."""
    places = [Place(role, "action") for role in ("base", "reasoning", "shuffled")]
    places += [Place(role, "matched", WINDOW, LAYER) for role in ("base", "reasoning", "shuffled")]
    for role in ("base", "reasoning"):
        places += [Place(role, form, WINDOW, LAYER) for form in FORMS[:3]]
        places += [Place(role, "ward", (-13, -8), LAYER), Place(role, "venhoff", (-1, 10), LAYER)]
        places.append(Place(role, "unmarked", (-3, -3), LAYER))
    places += [Place("reasoning", "state", (-1, 10), LAYER, state=one) for one in STATES]
    places += [Place("reasoning", "null", WINDOW, LAYER, number=k) for k in range(4)]
    places += [Place("reasoning", "mean", (-1, 10), LAYER)]
    places += [Place("reasoning", "null", (-3, -3), LAYER, number=0)]
    places += [Place("reasoning", "null", WINDOW, 1, number=0)]
    places += [Place("reasoning", "matched", WINDOW, 1)]
    vectors = torch.randn(len(places), D_MODEL, generator=torch.Generator().manual_seed(0))
    return Directions(tuple(map(Direction, places, vectors)))


DIRECTIONS = make_directions()


def test_every_form_state_and_null_is_an_arm_at_the_chosen_place() -> None:
    found = further_directions(DIRECTIONS, CHOICE, PLAN, "base", "reasoning")
    expected = {f"{role}.{form}": "form" for role in ("base", "reasoning") for form in FORMS}
    expected |= {f"state.{state}": "state" for state in STATES} | {"mean": "mean"}
    expected |= {f"null_{k}": "shuffled_labels" for k in range(4)}
    expected |= {f"noise_{k}": "noise" for k in range(2)}
    assert {one.name: one.group for one in found} == expected
    own = DIRECTIONS.get(Place("reasoning", "matched", WINDOW, LAYER))
    for one in found:
        assert one.unit.norm() == pytest.approx(1, abs=1e-6)
        if one.place is None:
            assert math.isnan(one.cosine)
            continue
        vector = DIRECTIONS.get(one.place)
        torch.testing.assert_close(one.unit, vector / vector.norm())
        assert one.cosine == pytest.approx(float(one.unit @ own / own.norm()), abs=1e-6)
        if one.group in ("shuffled_labels",) or "unmarked" in one.name:
            assert one.place.window == WINDOW


def test_forms_that_were_not_estimated_are_left_out() -> None:
    choice = Choice("reasoning", "base", 1, WINDOW, 3.0)
    found = further_directions(DIRECTIONS, choice, PLAN, "base", "reasoning")
    assert [one.name for one in found] == ["null_0", "noise_0", "noise_1"]


def test_a_model_without_action_is_steered_along_its_sources_alone() -> None:
    plain = Directions(tuple(one for one in DIRECTIONS if one.place.form != "action"))
    found = main_directions(plain, CHOICE, "reasoning", ("base", "reasoning"))
    assert [one.name for one in found] == ["base", "reasoning"]
    whole = main_directions(DIRECTIONS, CHOICE, "shuffled", ("base", "shuffled"))
    assert [(one.name, one.group) for one in whole][-1] == ("action", "action")
    assert whole[1].cosine == pytest.approx(1, abs=1e-6)


def test_doses_are_run_at_decisions_and_dose_1_everywhere_with_the_null_beside_it() -> None:
    main = main_directions(DIRECTIONS, CHOICE, "reasoning", ("base", "reasoning"))
    randoms = random_directions(PLAN, D_MODEL)
    full = main_arms(PLAN, CHOICE, main, randoms, has_doses=True)
    plain = main_arms(PLAN, CHOICE, main, randoms, has_doses=False)
    assert full[: len(plain)] != [] and len(plain) == 1 + 3 * (4 + 4) + 10
    assert len(full) == len(plain) + 2 * 3
    assert full[0].arm.group == "baseline" and not full[0].vector.any()
    by_arm = {push.arm: push for push in full}
    assert len(by_arm) == len(full)
    for arm, push in by_arm.items():
        assert push.vector.norm() == pytest.approx(abs(arm.dose) * CHOICE.norm, rel=1e-5)
        assert arm.where == "decision" or abs(arm.dose) == 1


def test_noise_is_seeded_one_by_one_and_has_no_negative_dose() -> None:
    found = further_directions(DIRECTIONS, CHOICE, PLAN, "base", "reasoning")
    arms = arms_at(PLAN, CHOICE, found, (1.0, -1.0))
    noise = [push for push in arms if push.arm.edit == "noise"]
    assert [(push.arm.name, push.arm.dose, push.seed) for push in noise] == [
        ("noise_0", 1.0, 3), ("noise_1", 1.0, 4),
    ]  # fmt: skip
    assert {push.arm.dose for push in arms if push.arm.name == "mean"} == {1.0, -1.0}


def test_what_is_projected_out_has_no_dose() -> None:
    main = main_directions(DIRECTIONS, CHOICE, "reasoning", ("base", "reasoning"))
    arms = removals(CHOICE, main)
    assert [push.arm.edit for push in arms] == ["none"] + ["project_out"] * 3
    assert {push.arm.dose for push in arms} == {0.0}
