"""Shards by key, written once, and the manifest that makes a folder of them an artifact.

The store lies outside every out. DVC deletes an out before it runs a stage, and the shards stay.
A shard counts once its record, a small JSON file beside it, is there and its hash is right.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from backtracking import artifacts
from backtracking.errors import UserError
from backtracking.extraction.format import MANIFEST

_STALE_S = 3600


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


class ShardStore:
    """Finished shards by key, in one folder that several runs may share.

    Args:
        folder: made when the first shard is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the shard of a key lies."""
        return self.folder / f"{key}.safetensors"

    def find(self, key: str) -> Shard | None:
        """The shard of a key, or None where it is missing, truncated or altered."""
        try:
            shard = Shard(**artifacts.read_json(self.folder / f"{key}.json"))
            intact = (
                shard.key == key
                and self.path(key).stat().st_size == shard.bytes
                and artifacts.sha256_file(self.path(key)) == shard.sha256
            )
        except (UserError, TypeError, OSError):
            return None
        return shard if intact else None

    def write(self, key: str, tensors: dict[str, Tensor]) -> Shard:
        """Writes a shard and then its record, each by temporary file and rename."""
        data = save(tensors)
        path, rows = self.path(key), len(tensors["trace"])
        shard = Shard(key, path.name, hashlib.sha256(data).hexdigest(), len(data), rows)
        artifacts.write_bytes(path, data)
        artifacts.write_json(self.folder / f"{key}.json", asdict(shard))
        return shard

    def sweep(self) -> None:
        """Removes temporary files that a killed run left an hour ago or earlier."""
        for path in self.folder.glob(".*"):
            if time.time() - path.lstat().st_mtime > _STALE_S:
                path.unlink(missing_ok=True)


def publish(
    store: ShardStore, shards: Sequence[Shard], manifest: dict[str, Any], out: Path
) -> None:
    """Makes `out` a folder of hard links to the shards, with the manifest written last.

    Args:
        store: where the shards are.
        shards: the units, in order.
        manifest: everything but `units` and `complete`.
        out: the folder, replaced as a whole.
    """
    with artifacts.new_folder(out) as folder:
        for shard in shards:
            artifacts.link_or_copy(store.path(shard.key), folder / shard.file)
        units = [asdict(shard) for shard in shards]
        artifacts.write_json(folder / MANIFEST, {**manifest, "units": units, "complete": True})
