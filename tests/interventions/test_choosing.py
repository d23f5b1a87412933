"""Layer and window are chosen by excess among the places that leave the rest alone."""

import pytest
import torch
from tiny_models import FULL_STOP, WORDS, save_model

from backtracking.interventions.choosing import choose, score_place
from backtracking.interventions.plan import Drawing, Plan, Push, Read, Words, no_push, random_units
from backtracking.models import forced, loading
from backtracking.models.endpoints import Counted
from backtracking.models.forced import Prefix
from backtracking.records.choices import Choice, Scored
from backtracking.records.measured import Arm
from backtracking.records.tokens import Opener, TokenSet

NONE_DRAWN = Drawing(0, 8, 1.0, (), 1, 1, None, 16)
PLAN = Plan((-1.0, 1.0), 1, 5, 3, 2, 2, 1, NONE_DRAWN, 1, 10, 0.9, 0.9, 40, 16, 16, 3)


def scored(layer: int, excess: float, legal: float | None, random: float = 0.0) -> Scored:
    """A place that is scored on dev, with the mean effect of random directions."""
    return Scored(layer, (0, 0), 2.0, excess + random, 0.0, excess, legal)


def test_an_effect_that_random_directions_have_as_well_counts_for_nothing() -> None:
    grid = [scored(0, 0.2, 0.99), scored(1, 0.1, 0.99, random=0.5)]
    assert choose("r", "b", 0.9, grid).layer == 0


def test_the_largest_excess_is_chosen_among_layers_at_which_what_comes_next_may_stand_there() -> (
    None
):
    grid = [scored(0, 0.1, 0.99), scored(1, 0.3, 0.95), scored(2, 0.8, 0.4)]
    assert choose("r", "b", 0.9, grid) == Choice("r", "b", 1, (0, 0), 2.0, tuple(grid))


def test_where_no_layer_is_usable_the_largest_excess_is_taken_all_the_same() -> None:
    assert choose("r", "b", 0.9, [scored(0, 0.1, 0.5), scored(2, 0.8, 0.4)]).layer == 2


def test_a_place_is_usable_where_nobody_knows_what_may_stand_there() -> None:
    assert choose("r", "b", 0.9, [scored(0, 0.1, None), scored(2, 0.8, None)]).layer == 2


def test_random_directions_are_unit_vectors_and_the_same_every_time() -> None:
    first, second = (random_units(PLAN, 16) for _ in range(2))
    assert list(first) == [f"random_{n}" for n in range(5)]
    for name, vector in first.items():
        assert torch.equal(vector, second[name])
        assert vector.norm() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("doses", [(0.5, 1.0), (-1.0, 0.0, 1.0)])
def test_doses_need_both_signs_of_one_and_no_zero(doses: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must hold 1 and -1, and not 0"):
        Plan(doses, 1, 5, 3, 2, 2, 1, NONE_DRAWN, 1, 10, 0.9, 0.9, 40, 16, 16, 3)


@pytest.mark.parametrize(("few", "free"), [(3, 6), (6, 3), (0, 3)])
def test_no_more_of_the_random_directions_than_there_are(few: int, free: int) -> None:
    with pytest.raises(ValueError, match="n_few_random and n_free_random"):
        Plan((-1.0, 1.0), 1, 5, few, free, 2, 1, NONE_DRAWN, 1, 10, 0.9, 0.9, 40, 16, 16, 3)


def test_a_place_is_scored_at_live_decisions_and_without_any_nothing_is_gained(tmp_path) -> None:
    loaded = loading.load(save_model(tmp_path))
    ids = [1, *(6 + n % 30 for n in range(12))]
    ids[5] = ids[9] = FULL_STOP
    marker = WORDS.index("Wait")
    row = loaded.model.get_output_embeddings().weight[marker].detach()  # type: ignore[union-attr]
    own = 30 * row / row.norm()
    other = torch.roll(own, 1)
    openers = (Opener(TokenSet("Wait", (marker,), ("Wait",))),)
    words = Words(Counted(openers, tuple(range(6, len(WORDS)))), (marker,))
    arms = [Push(Arm(f"{n}", "matched", 1.0), forced.Arm(v)) for n, v in enumerate([own, other])]
    for claimed in ((1, -1), (-1, 1), (-1, 0)):
        read = Read((Prefix(ids, 3, [5, 9]),), ("a",), ("a@5", "a@9"), claimed)
        pushes = [no_push(len(own)), *arms, arms[1]]
        found = score_place(loaded, 2, (0, 0), 30.0, read, pushes, words, 8)
        assert found.norm == 30
        assert (found.legal is not None and 0 < found.legal <= 1) == (1 in claimed)
        assert found.excess == pytest.approx(found.effect - found.effect_own, abs=1e-6)
        assert found.effect > 0.01 if 1 in claimed else found.effect == found.excess == 0
