"""Which decoder blocks of a model stand on which card, from bytes alone.

Blocks are spread in their order over as few cards as hold them, all equally full; all else
(embedding, final norm, unembedding) stands on the first of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backtracking.models.footprint import HELD_LOGITS, ROOMY, Footprint
from lifeboat.stage.errors import UserError

TOKENS = 1 << 14
"""Tokens of a call, and of those whose keys and values are held, for which there is to be room."""
_SHARES = tuple(n / 20 for n in range(1, 21))
"""Of what is free on each card: the least at which all finds a place is taken."""


@dataclass(frozen=True)
class Card:
    """A device with memory of its own.

    Attributes:
        name: as torch names it.
        free: bytes of it that nobody uses.
    """

    name: str
    free: int


@dataclass(frozen=True)
class Size:
    """What a model needs, in bytes.

    Attributes:
        blocks: weights of each decoder block.
        rest: all other weights.
        cache: keys and values of `TOKENS` tokens, of each block.
        working: what a call of so many tokens computes, on every card that it comes to.
    """

    blocks: tuple[int, ...]
    rest: int
    cache: int = 0
    working: int = 0

    @classmethod
    def of(cls, n_by_block: Sequence[int], n_rest: int, width: int, token: Footprint) -> "Size":
        """Of a decoder.

        Args:
            n_by_block: parameters of each block.
            n_rest: all others.
            width: bytes of a number.
            token: what one takes.
        """
        roomy, n_layers = ROOMY * TOKENS, len(n_by_block)
        cache, working = round(roomy * token.cache / n_layers), round(roomy * token.call)
        weights = tuple(n * width for n in n_by_block)
        return cls(weights, n_rest * width, cache, working + HELD_LOGITS)

    @property
    def weights(self) -> int:
        """All of them."""
        return sum(self.blocks) + self.rest


@dataclass(frozen=True)
class Placement:
    """Where a model stands.

    Attributes:
        cards: those that it stands on; all but its blocks is on the first, its home.
        needs: bytes on each of them.
        card_by_layer: number of the card of each block.
        is_roomy: whether there is room for `TOKENS` tokens at a time, and not for weights alone.
    """

    cards: tuple[Card, ...]
    needs: tuple[int, ...]
    card_by_layer: tuple[int, ...]
    is_roomy: bool = True

    @property
    def told(self) -> str:
        """Layers and memory of each card, in words, and whether there is room to work."""
        room = "" if self.is_roomy else f", without room for {TOKENS:,} tokens at a time"
        return self.by_card + room

    @property
    def by_card(self) -> str:
        """Layers and memory of each card, in words."""
        parts = []
        for number, (card, need) in enumerate(zip(self.cards, self.needs, strict=True)):
            layers = [at for at, its in enumerate(self.card_by_layer) if its == number]
            what = f"layers {layers[0]} to {layers[-1]}" if layers else "no layers"
            parts.append(f"{what} on {card.name} ({in_words(need)} of {in_words(card.free)} free)")
        return ", ".join(parts)


def place(size: Size, cards: Sequence[Card], named: str) -> Placement:
    """Where a model stands: on the first card, or the fewest neighbouring ones, that hold it.

    Where there is no room to work, on all of them by its weights alone.

    Args:
        size: of the model.
        cards: where there is room, in the order in which they are filled.
        named: what to call the model.

    Raises:
        UserError: where all of them together do not hold its weights, with what each holds.
    """
    some = [
        cards[at : at + n] for n in range(1, len(cards) + 1) for at in range(len(cards) - n + 1)
    ]
    bare = replace(size, cache=0, working=0)
    for its, asked in (*((one, size) for one in some), (cards, bare)):
        for share in _SHARES:
            found = _filled(asked, its, share)
            if len(found.card_by_layer) == len(size.blocks):
                return replace(found, is_roomy=asked is size)
    most = _filled(bare, cards, 1.0)
    n_placed, n_all = len(most.card_by_layer), len(size.blocks)
    left = in_words(sum(size.blocks[n_placed:]))
    raise UserError(
        f"{named}: its weights need {in_words(size.weights)}, and do not fit: {most.by_card}; "
        f"layers {n_placed} to {n_all - 1} ({left}) have no place.",
        "Free memory (`nvidia-smi` lists who holds it), take more or larger cards, a smaller dtype "
        "or a smaller model.",
    )


def in_words(n_bytes: int) -> str:
    """Bytes as GiB or MiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**29 else f"{n_bytes / 2**20:.0f} MiB"


def _filled(size: Size, cards: Sequence[Card], share: float) -> Placement:
    """Blocks in their order, on cards that are filled in turn, as many as find a place."""
    needs = [size.working + (0 if number else size.rest) for number in range(len(cards))]
    by_layer, at = list[int](), 0
    for n_bytes in size.blocks if needs[0] <= share * cards[0].free else ():
        while at < len(cards) and needs[at] + n_bytes + size.cache > share * cards[at].free:
            at += 1
        if at == len(cards):
            break
        needs[at] += n_bytes + size.cache
        by_layer.append(at)
    used = [need if number in (0, *by_layer) else 0 for number, need in enumerate(needs)]
    return Placement(tuple(cards), tuple(used), tuple(by_layer))
