"""Reading an activation store: one layer or chosen rows, without loading the rest."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from torch import Tensor

from backtracking.activations.finite import require_finite_file
from backtracking.activations.format import COLUMNS, Rows, concatenate, tensor_name
from backtracking.activations.manifest import CURE, read_manifest
from backtracking.records import reader
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class OpenShard:
    """One shard of a store, mapped into memory: a layer is loaded when its rows are read.

    Attributes:
        file: the shard.
        hook: the hook of its tensors.
        rows: what each row is.
    """

    file: Path
    hook: str
    rows: Rows

    def layer(self, layer: int) -> Float[Tensor, "rows d_model"]:
        """The rows of one layer."""
        return _tensor(self.file, tensor_name(self.hook, layer))


class ActivationStore:
    """The activations of one model around the sentences of a file of traces.

    Shards are mapped into memory, so that only what is read is loaded. Iterating gives shard after
    shard, in memory for one. Rows are numbered through all shards, in the order (trace, position,
    sentence).

    Args:
        folder: a published store, e.g. `data/interim/activations/reasoning`.

    Raises:
        UserError: where the manifest is missing, of another format or incomplete, or a shard is
            missing or truncated (by name).
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        for unit in self.manifest.units:
            _require_size(self.folder / unit.file, unit.bytes)

    @property
    def n_bytes_read(self) -> int:
        """Memory that it takes by itself: none, since shards are mapped."""
        return 0

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process it is what its folder holds there."""
        return type(self), (self.folder.absolute(),)

    @property
    def content_key(self) -> str:
        """Hash of the manifest, which names every shard by its content."""
        return artifacts.sha256_json(reader.encode(self.manifest))

    def __iter__(self) -> Iterator[OpenShard]:
        for file in self._files:
            yield OpenShard(file, self.hook, _rows(file))

    @property
    def hook(self) -> str:
        """What is stored: `resid_post`, `resid_pre`, `attn_out` or `mlp_out`."""
        return self.manifest.hook

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that are stored."""
        return self.manifest.layers

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.manifest.d_model

    @cached_property
    def rows(self) -> Rows:
        """What each row is: trace, sentence and position."""
        return concatenate([_rows(file) for file in self._files])

    def layer(self, layer: int) -> tuple[Float[Tensor, "rows d_model"], Rows]:
        """All rows of one layer, tokens and means."""
        name = self._tensor_name(layer)
        return torch.cat([_tensor(file, name) for file in self._files]), self.rows

    def means(self, layer: int) -> tuple[Float[Tensor, "means d_model"], Rows]:
        """The sentence means of one layer."""
        numbers = np.flatnonzero(self.rows.position < 0)
        return self._take(layer, numbers), self.rows[numbers]

    def has(
        self, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> Bool[np.ndarray, " n"]:
        """Whether the token at each (trace, position) is stored."""
        return self._find(trace, position)[1]

    def gather(
        self, layer: int, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> Float[Tensor, "n d_model"]:
        """The vectors of the tokens at each (trace, position), in the order that is asked for.

        Raises:
            UserError: naming the first token that is not stored; `has` tells beforehand.
        """
        numbers, found = self._find(trace, position)
        if not found.all():
            first = int(np.flatnonzero(~found)[0])
            raise UserError(
                f"{self.folder}: position {position[first]} of trace {trace[first]} is not stored, "
                f"and {int((~found).sum()) - 1} others of {len(found)}.",
                f"Its window is {self.manifest.positions.window} around sentence starts: "
                "widen `window` in params.yaml, or ask only for what `has` finds.",
            )
        return self._take(layer, numbers)

    def verify(self) -> None:
        """Hashes every shard, and looks for values that are not finite.

        Raises:
            UserError: naming the first shard whose bytes are not those of the manifest, or trace
                and layer of a value that is infinite or not a number.
        """
        for unit in self.manifest.units:
            found = artifacts.sha256_file(self.folder / unit.file)
            if found != unit.sha256:
                raise UserError(
                    f"{self.folder / unit.file} was altered: expected SHA-256 {unit.sha256}, "
                    f"found {found}.",
                    CURE,
                )
            require_finite_file(self.folder / unit.file, self.hook, self.layers)

    @property
    def _files(self) -> list[Path]:
        return [self.folder / unit.file for unit in self.manifest.units]

    @cached_property
    def _token_keys(self) -> tuple[Int[np.ndarray, " tokens"], Int[np.ndarray, " tokens"]]:
        """Row numbers of the tokens, and their ascending keys."""
        numbers = np.flatnonzero(self.rows.position >= 0)
        return numbers, _key(self.rows.trace[numbers], self.rows.position[numbers])

    def _find(
        self, trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]
    ) -> tuple[Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Row number of each token, and whether it is there (else the number means nothing)."""
        numbers, keys = self._token_keys
        if not len(keys):
            return np.zeros(len(trace), dtype=np.int64), np.zeros(len(trace), dtype=bool)
        place = np.searchsorted(keys, _key(trace, position)).clip(max=len(keys) - 1)
        return numbers[place], (keys[place] == _key(trace, position)) & (position >= 0)

    def _take(self, layer: int, numbers: Int[np.ndarray, " n"]) -> Float[Tensor, "n d_model"]:
        name = self._tensor_name(layer)
        dtype = getattr(torch, self.manifest.dtype)
        taken = torch.empty(len(numbers), self.d_model, dtype=dtype)
        first = 0
        for file, unit in zip(self._files, self.manifest.units, strict=True):
            here = np.flatnonzero((numbers >= first) & (numbers < first + unit.rows))
            if len(here):
                local = torch.from_numpy(numbers[here] - first)
                taken[torch.from_numpy(here)] = _tensor(file, name)[local]
            first += unit.rows
        return taken

    def _tensor_name(self, layer: int) -> str:
        if layer not in self.layers:
            raise UserError(
                f"{self.folder}: layer {layer} is not stored; it has {list(self.layers)}.",
                "Add it to `layers` of the extraction in params.yaml.",
            )
        return tensor_name(self.hook, layer)


def _require_size(path: Path, n_bytes: int) -> None:
    if not path.is_file():
        raise UserError(f"The shard {path} is missing.", CURE)
    found = path.stat().st_size
    if found != n_bytes:
        raise UserError(
            f"The shard {path} is truncated or altered: expected {n_bytes} bytes, found {found}.",
            CURE,
        )


def _rows(file: Path) -> Rows:
    with safe_open(file, framework="np") as shard:
        return Rows(*(shard.get_tensor(name) for name in COLUMNS))


def _tensor(file: Path, name: str) -> Float[Tensor, "rows d_model"]:
    with safe_open(file, framework="pt") as shard:
        return shard.get_tensor(name)


def _key(trace: Int[np.ndarray, " n"], position: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    return trace.astype(np.int64) * 2**32 + position.astype(np.int64)
