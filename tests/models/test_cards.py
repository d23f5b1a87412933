"""Which blocks stand on which card: by bytes, on as few as hold them, equally full."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backtracking.models.cards import Card, Size, in_words, place
from backtracking.models.footprint import Footprint
from lifeboat.stage.errors import UserError

GIB = 2**30
LLAMA_70B = Size.of(
    [855_654_400] * 80, 2_101_354_496, 2, Footprint.of(80, 2 * 8 * 128, 8192, 28672, 2)
)


def cards(*free: float) -> list[Card]:
    return [Card(f"cuda:{number}", round(one * GIB)) for number, one in enumerate(free)]


@pytest.mark.parametrize(
    ("free", "names", "n_by_card"),
    [
        ((180, 180), ("cuda:0",), (80,)),
        ((40, 180), ("cuda:1",), (80,)),
        ((94, 94), ("cuda:0", "cuda:1"), (40, 40)),
        ((79, 79, 79, 79), ("cuda:0", "cuda:1"), (40, 40)),
        ((47, 47, 47, 47), ("cuda:0", "cuda:1", "cuda:2", "cuda:3"), (18, 21, 21, 20)),
        ((1, 79, 79), ("cuda:1", "cuda:2"), (40, 40)),
    ],
)
def test_a_model_stands_on_as_few_cards_as_hold_it_and_fills_them_equally(
    free: tuple[float, ...], names: tuple[str, ...], n_by_card: tuple[int, ...]
) -> None:
    found = place(LLAMA_70B, cards(*free), "a model")
    assert tuple(card.name for card in found.cards) == names
    assert tuple(map(found.card_by_layer.count, range(len(names)))) == n_by_card
    assert found.is_roomy


def test_where_there_is_no_room_to_work_weights_alone_count() -> None:
    found = place(LLAMA_70B, cards(67, 67), "a model")
    assert not found.is_roomy
    assert "without room for 16,384 tokens at a time" in found.told


def test_what_does_not_fit_is_refused_with_what_each_card_would_hold() -> None:
    with pytest.raises(UserError) as refused:
        place(LLAMA_70B, cards(47, 30), "models/base (LlamaForCausalLM)")
    said = str(refused.value)
    assert said.startswith(
        "models/base (LlamaForCausalLM): its weights need 131.4 GiB, and do not fit: "
        "layers 0 to 26 on cuda:0 (46.9 GiB of 47.0 GiB free), "
        "layers 27 to 44 on cuda:1 (28.7 GiB of 30.0 GiB free); "
        "layers 45 to 79 (55.8 GiB) have no place. "
    )
    assert "nvidia-smi" in said


@example([1, 1, 1, 19, 1], 80, 0, 1, [103, 0, 2])  # a card in the middle that holds nothing
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=12),
    st.integers(0, 80),
    st.integers(0, 5),
    st.integers(0, 30),
    st.lists(st.integers(0, 200), min_size=1, max_size=5),
)
def test_no_card_holds_more_than_it_has_and_blocks_keep_their_order(
    blocks: list[int], rest: int, cache: int, working: int, free: list[int]
) -> None:
    size = Size(tuple(blocks), rest, cache, working)
    try:
        found = place(size, [Card(str(n), one) for n, one in enumerate(free)], "a model")
    except UserError:
        assert sum(blocks) + rest > sum(free) - len(free) * max(blocks) or rest > free[0]
        return
    assert len(found.card_by_layer) == len(blocks)
    assert all(one <= other for one, other in pairwise(found.card_by_layer))
    assert all(need <= card.free for card, need in zip(found.cards, found.needs, strict=True))
    for number, need in enumerate(found.needs):
        own = [at for at, card in enumerate(found.card_by_layer) if card == number]
        weights = sum(blocks[at] for at in own) + (0 if number else rest)
        assert need >= weights


def test_bytes_are_told_in_the_unit_that_suits() -> None:
    assert (in_words(3 * 2**20), in_words(3 * GIB)) == ("3 MiB", "3.0 GiB")
