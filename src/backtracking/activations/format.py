"""What an activation store is on disk: names, version, and what its rows mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

FORMAT = 1
MANIFEST = "manifest.json"
COLUMNS = ("trace", "sentence", "position")


@dataclass(frozen=True)
class Rows:
    """What each row of activations is, in the order (trace, position, sentence).

    Attributes:
        trace: row number of the trace in the file of traces, from 0.
        sentence: index of the sentence that contains the token, -1 where none does; for a mean,
            the sentence that it is of.
        position: position in the trace's ids, -1 for a mean.
    """

    trace: Int[np.ndarray, " rows"]
    sentence: Int[np.ndarray, " rows"]
    position: Int[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.trace)

    def __getitem__(self, chosen: Any) -> "Rows":
        return Rows(self.trace[chosen], self.sentence[chosen], self.position[chosen])


@dataclass(frozen=True)
class Positions:
    """Which rows are kept of a trace.

    Attributes:
        window: first and last offset, both included, from the start of each sentence; the windows
            of a trace are united and clipped to it. None keeps every token.
        means: whether each sentence's mean over its tokens is kept as well.
    """

    window: tuple[int, int] | None
    means: bool = False


@dataclass(frozen=True)
class Shard:
    """A finished shard, as the manifest lists it.

    Attributes:
        key: hash of what determines the bytes.
        file: its name in the folder.
        sha256: hash of the bytes.
        bytes: their number.
        rows: rows of activations.
    """

    key: str
    file: str
    sha256: str
    bytes: int
    rows: int


def concatenate(parts: Sequence[Rows]) -> Rows:
    """The rows of several traces or shards, one after the other."""
    columns = (
        [np.empty(0, dtype=np.int64), *(getattr(part, name) for part in parts)] for name in COLUMNS
    )
    return Rows(*(np.concatenate(column) for column in columns))


def tensor_name(hook: str, layer: int) -> str:
    """The name of a layer's tensor in a shard."""
    return f"{hook}.{layer}"
