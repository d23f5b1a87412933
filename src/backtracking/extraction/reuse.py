"""What older shards already hold of a unit: other layers, other windows, the same vectors."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from safetensors import safe_open

from backtracking.activations.format import COLUMNS, Rows, Shard, tensor_name
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Unit
from backtracking.extraction.running import Partial, Reader, empty, unit_rows
from backtracking.extraction.store import Origin, ShardStore


class Shelf:
    """The records of a store by what they share with a request.

    Args:
        store: the shards.
    """

    def __init__(self, store: ShardStore) -> None:
        self.store = store
        self._by_base: dict[str, list[tuple[Shard, Origin]]] = defaultdict(list)
        self._by_asked: dict[str, Shard] = {}
        for shard, origin in store.records():
            self._by_base[origin.base].append((shard, origin))
            self._by_asked[origin.asked] = shard

    def find_all(self, keys: Iterable[str]) -> dict[str, Shard]:
        """The intact shards of these units, by unit; a damaged one is named on standard error."""
        shard_by_key = {}
        for key in keys:
            if (shard := self._by_asked.get(key)) is None:
                continue
            if (damage := self.store.damage(shard)) is None:
                shard_by_key[key] = shard
            else:
                path = self.store.path(shard.key)
                print(f"{path} is {damage}: it will be computed again.", file=sys.stderr)
        return shard_by_key

    def partial(self, reader: Reader, unit: Unit, items: Sequence[Item]) -> Partial:
        """The unit's shard as far as older ones have its rows."""
        rows = unit_rows(items, reader.request)
        partial = empty(reader, len(rows))
        layers = reader.request.layers
        filled = np.zeros((len(layers), len(rows)), dtype=bool)
        for shard, origin in self._by_base[unit.base]:
            if self.store.damage(shard) is None:
                _fill(self.store, shard, origin, unit, rows, reader, partial, filled)
        missing = [layer for layer, has in zip(layers, filled, strict=True) if not has.all()]
        return Partial(partial.tensor_by_layer, tuple(missing), np.logical_not(filled.all(0)))


def _fill(
    store: ShardStore,
    shard: Shard,
    origin: Origin,
    unit: Unit,
    rows: Rows,
    reader: Reader,
    partial: Partial,
    filled: np.ndarray,
) -> None:
    """Copies the rows that a shard has; its means only if they are of the same sentences."""
    common = [layer for layer in reader.request.layers if layer in origin.layers]
    if not common:
        return
    with safe_open(store.path(shard.key), framework="pt") as file:
        theirs = Rows(*(file.get_tensor(name).numpy() for name in COLUMNS))
        place, there = _match(rows, theirs, with_means=origin.spans == unit.spans)
        to, source = torch.from_numpy(np.flatnonzero(there)), torch.from_numpy(place[there])
        for layer in common:
            stored = file.get_tensor(tensor_name(reader.request.hook, layer))
            partial.tensor_by_layer[layer][to] = stored[source]
            filled[reader.request.layers.index(layer)] |= there


def _match(
    wanted: Rows, stored: Rows, *, with_means: bool
) -> tuple[Int[np.ndarray, " wanted"], np.ndarray]:
    """Row number of each wanted row among the stored, and whether it is there."""
    if not len(stored) or not len(wanted):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=bool)
    keys, their_keys = _keys(wanted), _keys(stored)
    order = np.argsort(their_keys)
    place = order[np.searchsorted(their_keys[order], keys).clip(max=len(order) - 1)]
    there = their_keys[place] == keys
    return place, there & ((wanted.position >= 0) | with_means)


def _keys(rows: Rows) -> Int[np.ndarray, " rows"]:
    """One number a row: tokens by trace and position, means by trace and sentence, negative."""
    key = rows.trace * 2**31
    return np.where(rows.position >= 0, key + rows.position, -1 - (key + rows.sentence))
