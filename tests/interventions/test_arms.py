"""The arms of a model: every direction that there is, at its doses, with what it is."""

import numpy as np
import pytest
import torch

from backtracking.directions.estimator import estimate
from backtracking.directions.forms import Contrast
from backtracking.interventions.along import (
    Along,
    control_directions,
    further_directions,
    main_directions,
    random_directions,
)
from backtracking.interventions.arms import Ground, main_arms, removals, retrained_arms, with_nulls
from backtracking.interventions.measure import is_asked, with_back
from backtracking.interventions.plan import Drawing, Plan, Read
from backtracking.models.forced import Stack
from backtracking.records.choices import Choice
from backtracking.records.directions import Direction, Directions
from backtracking.records.places import Place

NONE_DRAWN = Drawing(0, 8, 1.0, (), 1, 1, None, 16)
PLAN = Plan((-2.0, -1.0, 1.0, 2.0), 1, 5, 3, 1, 4, 2, NONE_DRAWN, 6, 8, 0.9, 0.9, 40, 64, 64, 3)
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
    found = further_directions(DIRECTIONS, CHOICE, "base", "reasoning")
    expected = {f"{role}.{form}": "form" for role in ("base", "reasoning") for form in FORMS}
    expected |= {f"state.{state}": "state" for state in STATES} | {"mean": "mean"}
    expected |= {f"null_{k}": "shuffled_labels" for k in range(4)}
    assert {one.name: one.group for one in found} == expected
    own = DIRECTIONS.get(Place("reasoning", "matched", WINDOW, LAYER))
    for one in found:
        assert one.unit.norm() == pytest.approx(1, abs=1e-6)
        assert one.place is not None
        vector = DIRECTIONS.get(one.place)
        torch.testing.assert_close(one.unit, vector / vector.norm())
        assert one.cosine == pytest.approx(float(one.unit @ own / own.norm()), abs=1e-6)
        if one.group in ("shuffled_labels",) or "unmarked" in one.name:
            assert one.place.window == WINDOW


def test_forms_that_were_not_estimated_are_left_out() -> None:
    choice = Choice("reasoning", "base", 1, WINDOW, 3.0)
    found = further_directions(DIRECTIONS, choice, "base", "reasoning")
    assert [one.name for one in found] == ["null_0"]


def test_a_model_without_action_is_steered_along_its_sources_alone() -> None:
    plain = Directions(tuple(one for one in DIRECTIONS if one.place.form != "action"))
    found = main_directions(plain, CHOICE, "reasoning", ("base", "reasoning"))
    assert [one.name for one in found] == ["base", "reasoning"]
    whole = main_directions(DIRECTIONS, CHOICE, "shuffled", ("base", "shuffled"))
    assert [(one.name, one.group) for one in whole][-1] == ("action", "action")
    assert whole[1].cosine == pytest.approx(1, abs=1e-6)


def test_dose_1_is_the_class_distance_of_the_model_that_is_steered() -> None:
    """Not of the model under study, whose may be many times as long and break the others."""
    main = main_directions(DIRECTIONS, CHOICE, "reasoning", ("base", "reasoning"))
    randoms = random_directions(PLAN, D_MODEL)
    full = main_arms(PLAN, LAYER, 2.5, main, randoms)
    assert len(full) == 1 + 3 * 4 + 10 + 2 * 3
    assert full[0].arm.group == "baseline" and not full[0].edit.vector.any()
    assert len({push.arm for push in full}) == len(full)
    for push in full:
        assert push.edit.vector.norm() == pytest.approx(abs(push.arm.dose) * 2.5, rel=1e-5)
        assert push.arm.where == "decision"


def ground() -> Ground:
    """Two classes in three strata of several problems, apart along the first axis."""
    generator = torch.Generator().manual_seed(1)
    is_positive = torch.arange(60) % 2 == 0
    rows = torch.randn(60, D_MODEL, generator=generator)
    rows[:, 0] += 4 * is_positive
    numbers = torch.arange(60)
    return Ground(Contrast(rows, is_positive, numbers % 3, numbers // 6), 2.5)


def test_an_affine_arm_reaches_the_mean_of_the_other_class_and_its_nulls_move_as_far() -> None:
    own = Along("reasoning", "matched", torch.eye(D_MODEL)[0])
    pushes = with_nulls(PLAN, LAYER, ground(), own)
    assert [push.arm.group for push in pushes[:3]] == ["baseline", "matched", "matched"]
    assert len(pushes) == 3 + 3 * 4 * 2
    contrast = ground().contrast
    rows, stack = (
        contrast.activations,
        Stack.of([push.edit for push in pushes], torch.device("cpu")),
    )
    for number, push in enumerate(pushes[1:], start=1):
        moved = stack.edited(rows, torch.full((len(rows),), number)) - rows
        wanted = rows[contrast.is_positive == (push.arm.dose > 0), 0].mean() - rows[:, 0]
        unit = push.edit.vector
        assert unit.norm() == pytest.approx(1, abs=1e-5)
        torch.testing.assert_close(moved, wanted[:, None] * unit, atol=1e-5, rtol=1e-5)
        if push.is_null:
            assert push.arm.edit == "displace" and push.cosine == pytest.approx(float(unit[0]))
    groups = {push.arm.group for push in pushes if push.is_null}
    assert groups == {"isotropic", "covariance", "sign_flipped"}


def test_controls_without_training_move_as_far_as_the_direction_under_test() -> None:
    """They are the base's, at the chosen place alone; a state has a direction of its own."""
    places = [Place("base", "word", WINDOW, LAYER), Place("base", "permuted", WINDOW, LAYER)]
    places += [Place("base", "next", WINDOW, LAYER, state=one) for one in STATES]
    elsewhere = [Place("base", "word", (-3, -3), LAYER), Place("reasoning", "word", WINDOW, LAYER)]
    generator = torch.Generator().manual_seed(5)
    vectors = torch.randn(len(places) + 2, D_MODEL, generator=generator)
    controls = tuple(map(Direction, [*places, *elsewhere], vectors))
    found = control_directions(Directions((*DIRECTIONS, *controls)), CHOICE)
    assert [one.name for one in found] == ["word", *(f"next.{one}" for one in STATES), "permuted"]
    own = Along("base", "matched", torch.eye(D_MODEL)[0])
    pushes = with_nulls(PLAN, LAYER, ground(), own, (), found)
    assert len(pushes) == 3 + 2 * len(found)
    rows = ground().contrast.activations
    stack = Stack.of([push.edit for push in pushes], torch.device("cpu"))
    for number, push in enumerate(pushes[3:], start=3):
        told = push.arm.group, push.arm.edit, push.is_null
        assert told == ("control", "displace", False) and push.arm.place in places
        moved = stack.edited(rows, torch.full((len(rows),), number)) - rows
        base = stack.edited(rows, torch.full((len(rows),), 1 if push.arm.dose > 0 else 2)) - rows
        torch.testing.assert_close(moved.norm(dim=1), base.norm(dim=1), atol=1e-5, rtol=1e-5)
    read = Read((), (), ("a", "b", "c"), (1, -1, 0))
    assert is_asked(read, pushes)[3:].sum(axis=1).tolist() == [1] * 2 * len(found)


def test_a_direction_is_estimated_again_with_the_means_to_which_it_is_set() -> None:
    """From problems that are drawn anew, and read only where the sign of the edit counts."""
    held = ground().contrast
    own = Along("base", "matched", torch.eye(D_MODEL)[0], Place("base", "matched", WINDOW, LAYER))
    pushes = retrained_arms(PLAN, LAYER, ground(), own, held)
    assert len({push.arm for push in pushes}) == len(pushes) == 2 * PLAN.n_retrained
    assert {(push.arm.group, push.arm.edit) for push in pushes} == {("retrained", "set_projection")}
    assert {push.arm.place for push in pushes} == {own.place}
    estimated = estimate(held).direction
    for up, down in zip(pushes[::2], pushes[1::2], strict=True):
        assert torch.equal(up.edit.vector, down.edit.vector) and up.edit.value > down.edit.value
        assert 0.9 < up.edit.vector.double() @ estimated / estimated.norm() < 1 - 1e-9
        assert up.cosine == pytest.approx(float(up.edit.vector[0]))
    assert len({push.edit.value for push in pushes}) == len(pushes)
    read = Read((), (), ("a", "b", "c"), (1, -1, 0))
    assert is_asked(read, pushes)[:2].tolist() == [[True, False, False], [False, True, False]]


def test_necessity_sets_the_projection_to_the_mean_of_the_negative_class() -> None:
    """And not to 0, which moved live decisions far from all that a model holds there."""
    main = main_directions(DIRECTIONS, CHOICE, "reasoning", ("base", "reasoning"))
    arms = removals(LAYER, ground(), main)
    assert [push.arm.edit for push in arms] == ["none"] + ["set_projection"] * 3
    assert {push.arm.dose for push in arms} == {0.0}
    negative = ground().contrast.activations[~ground().contrast.is_positive].mean(dim=0)
    for one, push in zip(main, arms[1:], strict=True):
        assert push.edit.value == pytest.approx(float(negative @ one.unit), abs=1e-5)


def test_of_nulls_the_strongest_and_as_many_others_are_read_to_the_end() -> None:
    own = Along("reasoning", "matched", torch.eye(D_MODEL)[0])
    pushes = with_nulls(PLAN, LAYER, ground(), own, ("isotropic",))
    read = Read((), (), ("a", "b", "c"), (1, -1, 0))
    asked = is_asked(read, pushes)
    assert asked[:3].all() and asked[3:].sum(axis=1).tolist() == [1] * 8
    p = np.full((11, 3), np.nan)
    p[3::2, 0], p[4::2, 1] = [0.1, 0.4, 0.2, 0.3], [0.5, 0.6, 0.7, 0.2]
    assert with_back(pushes, p, 1).tolist() == [0, 1, 2, 3, 4, 5, 10]
