"""Whether a server's hidden states are the model's: by a forward pass of our own.

What a server gets wrong it gets wrong by whole rows (a prefix from its cache, a lost chunk,
padding: a slot holds all layers of a token) or by whole layers (a rank's share, a wrong index). So
the lowest layer is compared at every token of every trace, which takes no more of the model than
that layer, and every layer at every token of the traces that are chosen here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from backtracking.activations.format import Positions
from backtracking.extraction.items import Item
from backtracking.extraction.running import Reader, empty, open_reader, run_batches
from backtracking.extraction.selfcheck import relative_rows
from backtracking.extraction.server_files import Places, digest
from backtracking.models.loading import LoadedModel
from lifeboat.stage.errors import UserError

BLOCK = 16
"""Tokens of the smallest prefix that a server's cache keeps by default."""
_CURE = (
    "Nothing was published. docs/overlays.md, Hidden states from a server, says what does this. "
    "Give the model that was served, `--layer-ids` in full, and a higher `--floor` only where the "
    "server's dtype is coarser."
)


class Prefixes:
    """Traces that begin alike, seen while they are gone through once."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._pairs: dict[int, tuple[int, int]] = {}

    def seen(self, items: Iterable[Item]) -> Iterator[Item]:
        """The same traces, looked at as they pass; they are numbered in this order."""
        for number, item in enumerate(items):
            length = BLOCK
            while length <= len(item.ids):
                first = self._first.setdefault(digest(item.ids[:length]), number)
                if first != number:
                    self._pairs.setdefault(length, (first, number))
                length *= 2
            yield item

    def chosen(self) -> set[int]:
        """Numbers of the first two traces with a common prefix of 16 tokens, of 32, of 64, ..."""
        return {number for pair in self._pairs.values() for number in pair}


class Lowest:
    """The lowest layers of any trace, by a forward pass that ends there.

    The lowest alone, unless a token does not see in it what comes before: what block 0 reads.

    Args:
        reader: the model, and all layers.

    Attributes:
        layers: the layers.
    """

    def __init__(self, reader: Reader) -> None:
        request = reader.request
        sees_none = request.hook == "resid_pre" and request.layers[0] == 0
        self.layers = request.layers[: 2 if sees_none else 1]
        request = replace(request, layers=self.layers, positions=Positions(None), dtype="float32")
        self._reader = open_reader(reader.model, request)

    def tokens(self, item: Item) -> dict[int, Float[Tensor, "pos d_model"]]:
        """Every token of a trace by layer, alone and unpadded."""
        partial = empty(self._reader, len(item.ids))
        run_batches(self._reader, [item], [range(1)], partial)
        return partial.tensor_by_layer


def with_neighbours(reader: Reader) -> Reader:
    """The reader of the same layers, and of those on both sides of each."""
    wanted = {layer + step for layer in reader.request.layers for step in (-1, 0, 1)}
    layers = tuple(sorted(wanted & set(range(reader.model.n_layers))))
    return open_reader(reader.model, replace(reader.request, layers=layers))


def require_same(
    found: Float[Tensor, "pos d_model"],
    expected_by_layer: Mapping[int, Float[Tensor, "pos d_model"]],
    layer: int,
    floor: float,
    who: str,
    places: Places,
    model: LoadedModel,
) -> float:
    """The largest relative difference of a layer's rows to our own.

    Whatever is accepted, they have to be nearer to our own than to any other layer of ours.

    Args:
        found: the server's.
        expected_by_layer: our own, of this layer and of any others.
        layer: the one that is compared.
        floor: largest difference that is accepted.
        who: request and trace, to begin a sentence with.
        places: what the layers are called.
        model: the model.

    Raises:
        UserError: naming request, trace, layer and the first token that differs by more, how far
            off it is, and what it is instead where that can be told.
    """
    differences = relative_rows(found, expected_by_layer[layer])
    wrong = (~(differences <= floor)).nonzero().flatten().tolist()
    if not wrong:
        _require_nearest(differences, found, expected_by_layer, f"{who}: {places.named(layer)}")
        return differences.max().item()
    first = wrong[0]
    alike = _resemblance(found[first].float(), expected_by_layer, layer, first, floor, model)
    raise UserError(
        f"{who}: token {first} of {len(found)} at {places.named(layer)} differs by "
        f"{differences[first].item():.3g} (relative) from our own forward pass of this trace, and "
        f"{floor:g} is accepted; {len(wrong)} of its tokens do, the last is {wrong[-1]}, the "
        f"largest difference {differences.max().item():.3g}.{alike}",
        _CURE,
    )


def _require_nearest(
    differences: Float[Tensor, " pos"],
    found: Float[Tensor, "pos d_model"],
    expected_by_layer: Mapping[int, Float[Tensor, "pos d_model"]],
    which: str,
) -> None:
    own = differences.mean().item()
    for other, tokens in expected_by_layer.items():
        if (theirs := relative_rows(found, tokens).mean().item()) < own:
            raise UserError(
                f"{which} is nearer to our own layer {other} ({theirs:.3g} away, the mean of "
                f"{len(found)} tokens) than to the layer that it is to be ({own:.3g} away).",
                _CURE,
            )


def _resemblance(
    row: Float[Tensor, " d_model"],
    expected_by_layer: Mapping[int, Float[Tensor, "pos d_model"]],
    layer: int,
    position: int,
    floor: float,
    model: LoadedModel,
) -> str:
    """What a wrong row is, in a sentence; empty where nobody knows."""
    if not row.any():
        return " It is nothing but zeros: nobody has written it."
    for other, tokens in expected_by_layer.items():
        differences = relative_rows(row.expand_as(tokens), tokens)
        if (differences <= floor).any():
            return f" It is the row of token {int(differences.argmin())} at layer {other}."
    own = expected_by_layer[layer][position]
    place = next(model.final_norm.parameters(), own)
    normed = model.final_norm(own.to(place.device, place.dtype)).float().cpu()
    if relative_rows(row[None], normed[None]).item() <= floor:
        return " It is our own behind the final norm."
    ratio = (row @ own / (own @ own)).item()
    if ratio and relative_rows(row[None], ratio * own[None]).item() <= floor:
        return f" It is {ratio:.3g} times our own."
    return ""
