"""A server's hidden states become units, once they are found to be right.

No unit is written before each token of it was compared at the lowest layer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from backtracking.activations.format import Shard, concatenate
from backtracking.extraction import selfcheck
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Unit, rows_of
from backtracking.extraction.reuse import Shelf
from backtracking.extraction.running import Reader, empty, shard_tensors
from backtracking.extraction.server_check import Lowest, require_same, with_neighbours
from backtracking.extraction.server_files import AGAIN, Places, StateFile, require_sound
from backtracking.extraction.store import Origin, ShardStore
from backtracking.models.loading import LoadedModel
from lifeboat.stage import artifacts, interruption
from lifeboat.stage.errors import UserError


class Importer:
    """Puts the requests of traces into a store, once they are found to be right.

    Args:
        reader: the model.
        places: the layers of each file.
        file_by_trace: the files.
        items: the traces.
        shards: the store.
        floor: largest relative difference that is accepted.

    Attributes:
        n_written: units that were written.
        compared_to: the layer up to which each token of theirs was compared.
        lowest: the largest difference of theirs up to that layer.
    """

    def __init__(
        self,
        reader: Reader,
        places: Places,
        file_by_trace: dict[int, StateFile],
        items: Sequence[Item],
        shards: ShardStore,
        floor: float,
    ) -> None:
        self.n_written, self.lowest = 0, 0.0
        self._reader, self._places, self._floor = reader, places, floor
        self._file_by_trace, self._items = file_by_trace, items
        self._shards, self._shelf = shards, Shelf(shards)
        self._lowest, self._around = Lowest(reader), with_neighbours(reader)
        self.compared_to = self._lowest.layers[-1]
        self._differ = _told_apart(reader.model)

    def require_same(self, item: Item) -> None:
        """Compares a trace at every token and layer.

        Raises:
            UserError: naming request, token and layer, and how far off it is.
        """
        expected = selfcheck.plain_tokens(self._around, item)
        for layer, values in self._layers(item):
            self._compare(item, layer, values, expected)

    def unit(self, unit: Unit) -> Shard:
        """The shard of a unit: from before, or written now.

        Raises:
            UserError: naming request, token and layer of a row that is not to be stored.
        """
        interruption.checkpoint()
        items = unit.items(self._items)
        unit = self._keyed(unit, items)
        if found := self._shelf.find_all([unit.key]):
            return found[unit.key]
        tensors = self._tensors(items)
        self.n_written += 1
        request = self._reader.request
        origin = Origin(unit.base, unit.spans, request.layers, unit.key, request.tokens_per_batch)
        return self._shards.write(unit.key, tensors, origin)

    def _keyed(self, unit: Unit, items: Sequence[Item]) -> Unit:
        """The unit by what its files hold, and never by what the model would give."""
        held = [self._file_by_trace[item.trace].sha256() for item in items]
        told = [self._places.ids, self._floor, held]
        base, key = (artifacts.sha256_json([one, *told]) for one in (unit.base, unit.key))
        return replace(unit, base=base, key=key)

    def _tensors(self, items: Sequence[Item]) -> dict[str, Tensor]:
        rows = [rows_of(item, self._reader.request.positions) for item in items]
        partial = empty(self._reader, sum(map(len, rows)))
        first = 0
        for item, its in zip(items, rows, strict=True):
            expected = self._lowest.tokens(item)
            for layer, values in self._layers(item):
                if layer in expected:
                    largest = self._compare(item, layer, values, expected)
                    self.lowest = max(self.lowest, largest)
                kept = selfcheck.rows_among(values, item, its)
                partial.tensor_by_layer[layer][first : first + len(its)] = kept
            first += len(its)
        return shard_tensors(self._places.hook, partial, concatenate(rows))

    def _layers(self, item: Item) -> Iterator[tuple[int, Float[Tensor, "pos d_model"]]]:
        """Each layer of a request, one in memory at a time, once its rules are kept."""
        layers = list(self._places.column_by_layer)
        first_by_content: dict[int, int] = {}
        columns = self._file_by_trace[item.trace].columns(
            [self._places.column_by_layer[layer] for layer in layers]
        )
        for layer, (_, values) in zip(layers, columns, strict=True):
            who, where = self._who(item), self._places.named(layer)
            require_sound(values, item.ids, who, where, self._differ)
            content = hash(values.contiguous().view(torch.uint8).numpy().tobytes())
            if (first := first_by_content.setdefault(content, layer)) != layer:
                raise UserError(
                    f"{who}: {self._places.named(first)} and {where} are the same, byte for byte.",
                    f"Nothing was published: a layer was written twice. {AGAIN}",
                )
            yield layer, values

    def _compare(
        self, item: Item, layer: int, values: Tensor, expected: dict[int, Tensor]
    ) -> float:
        return require_same(
            values, expected, layer, self._floor, self._who(item), self._places, self._reader.model
        )

    def _who(self, item: Item) -> str:
        return f"{self._file_by_trace[item.trace].path.name} (trace {item.trace})"


def _told_apart(model: LoadedModel) -> Callable[[int, int], bool]:
    """Whether the model embeds two tokens differently."""
    weight: Tensor = model.model.get_input_embeddings().weight  # type: ignore[assignment]
    return lambda one, other: not torch.equal(weight[one], weight[other])
