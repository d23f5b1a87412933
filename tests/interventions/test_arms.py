"""Further arms: every one is run and held against both nulls, and the usable window is told."""

import numpy as np
import pytest
import torch
from tiny_study import LAYER, PLAN, STATES, WINDOW, make_inputs

from backtracking.effects.rates import BASELINE, Label, Measured
from backtracking.interventions.arms import (
    all_directions,
    compare_arms,
    extra_directions,
    force_extras,
    usable_doses,
)
from backtracking.interventions.runs import Choice, Inputs, force
from backtracking.models.forced import Forced
from backtracking.statistics.bootstrap import Bootstrap

BOOTSTRAP = Bootstrap(50, 0.95, 0)
CHOICE = Choice(LAYER, WINDOW, 3.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return make_inputs(tmp_path_factory.mktemp("study"))


def test_every_form_state_and_null_is_an_arm_at_the_chosen_place(inputs: Inputs) -> None:
    extras = extra_directions(inputs, CHOICE, PLAN)
    groups = {name: extra.group for name, extra in extras.items()}
    forms = ("unmarked", "keyword", "stable", "ward", "venhoff")
    expected = {f"{role}.{form}": "form" for role in ("base", "reasoning") for form in forms}
    expected |= {f"state.{state}": "state" for state in STATES} | {"mean": "mean"}
    expected |= {f"null_{k}": "shuffled_labels" for k in range(4)}
    expected |= {f"noise_{k}": "noise" for k in range(2)}
    assert groups == expected
    for name, extra in extras.items():
        assert extra.unit.norm() == pytest.approx(1, abs=1e-6)
        if name.startswith("null_"):
            own = inputs.direction_by_name[f"reasoning.{name}.{WINDOW}.{LAYER}"]
            torch.testing.assert_close(extra.unit, own / own.norm())


def test_forms_that_were_not_estimated_are_left_out(inputs: Inputs) -> None:
    assert extra_directions(inputs, Choice(1, WINDOW, 3.0), PLAN).keys() == {
        "null_0", "noise_0", "noise_1",
    }  # fmt: skip


def test_every_arm_has_its_effect_beside_both_nulls(inputs: Inputs) -> None:
    extras = extra_directions(inputs, CHOICE, PLAN)
    main, more = (
        force(PLAN, inputs, CHOICE, "reasoning"),
        force_extras(PLAN, inputs, CHOICE, extras),
    )
    assert np.array_equal(main.kind, more.kind) and more.labels[0] == BASELINE
    np.testing.assert_allclose(main.forced.p_marked[0], more.forced.p_marked[0], atol=1e-6)
    known = all_directions(inputs, CHOICE, extras)
    rows = compare_arms(main.with_arms_of(more), known, BOOTSTRAP)
    *rows, prompting = rows
    assert prompting["group"] == "prompting" and prompting["verdict"] == "no test"
    assert {row["direction"] for row in rows} == set(known)
    assert {row["dose"] for row in rows} == {1.0, -1.0}
    alive = main.kind == "alive"
    null = [
        (more.p(Label(f"null_{k}", 1.0, "decision"), "alive") - more.p(BASELINE, "alive")).mean()
        for k in range(4)
    ]
    (row,) = [
        row
        for row in rows
        if (row["direction"], row["dose"], row["kind"]) == ("mean", 1.0, "alive")
    ]
    assert row["n_decisions"] == alive.sum()
    assert row["shuffled_bound"] == pytest.approx(max(null))
    assert row["shuffled_p"] == (1 + (np.array(null) >= row["effect_value"]).sum()) / 5
    assert row["beyond_random"] in ("holds", "fails") and -1 <= row["cosine"] <= 1
    assert {row["cosine"] for row in rows if row["group"] == "noise"} == {None}
    assert {row["dose"] for row in rows if row["group"] == "noise"} == {1.0}


def on_dev(agreement: dict[float, float]) -> Measured:
    labels = [BASELINE, *(Label("base", dose, "decision") for dose in agreement)]
    labels.append(Label("base", 1.0, "all"))
    n = 4
    values = np.tile(np.array([1.0, *agreement.values(), 0.2])[:, None], n)
    zero = np.zeros((len(labels), n))
    text = np.full(n, "p", dtype=object)
    forced = Forced(zero, values, zero, zero, zero)
    return Measured("reasoning", labels, forced, text, text, [f"p{k}" for k in range(n)])


def test_the_usable_window_ends_before_the_first_dose_that_changes_the_rest() -> None:
    agreement = {-2.0: 0.95, -1.0: 0.5, -0.5: 0.99, 0.5: 0.97, 1.0: 0.93, 2.0: 0.7}
    found = usable_doses(on_dev(agreement), 0.9, BOOTSTRAP)
    assert found["windows"] == [{"direction": "base", "low": -0.5, "high": 1.0}]
    usable = {(row["dose"], row["where"]): row["usable"] for row in found["doses"]}
    assert usable[-2.0, "decision"] and not usable[1.0, "all"] and len(usable) == 7
    none = usable_doses(on_dev({-1.0: 0.5, 1.0: 0.5}), 0.9, BOOTSTRAP)
    assert none["windows"] == [{"direction": "base", "low": 0.0, "high": 0.0}]
