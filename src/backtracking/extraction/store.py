"""Shards by key, written once, and the manifest that makes a folder of them an artifact.

The store lies outside every out. DVC deletes an out before it runs a stage, and the shards stay.
A shard counts once its record, a small JSON file beside it, is there and its hash is right.
Several processes may share a store: each claims a unit before it computes it, and the kernel gives
the claims of a dead process back.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from backtracking.activations.format import Shard
from backtracking.activations.manifest import Manifest, write_manifest
from backtracking.extraction import serialization
from lifeboat.stage import artifacts, claims
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Origin:
    """What else a record tells of a shard, so that other requests can use it.

    Attributes:
        base: what determines a token's vector (`planning.Unit`).
        spans: the sentences.
        layers: the layers that it holds.
        asked: key of the unit as it was planned; another than the shard's own where the device had
            no memory for that plan.
        tokens_per_batch: the budget that it was computed with.
    """

    base: str
    spans: str
    layers: tuple[int, ...]
    asked: str
    tokens_per_batch: int


class ShardStore:
    """Finished shards by key, in one folder that several processes may share.

    Args:
        folder: made when the first shard is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._intact: dict[str, tuple[int, ...]] = {}
        self._claimed: set[str] = set()

    def path(self, key: str) -> Path:
        """Where the shard of a key lies."""
        return self.folder / f"{key}.safetensors"

    def record(self, key: str) -> tuple[Shard, Origin] | None:
        """What the record of a unit's planned key says, None where there is none that is whole."""
        try:
            value = artifacts.read_json(self.folder / f"{key}.json")
            origin = Origin(**{**value.pop("origin"), "layers": tuple(value.pop("layers"))})
            shard = Shard(**value)
        except (UserError, TypeError, KeyError, AttributeError, OSError):
            return None
        return (shard, origin) if origin.asked == key else None

    def records(self) -> list[tuple[Shard, Origin]]:
        """All records, in the order of their names."""
        keys = sorted(path.stem for path in self.folder.glob("[!.]*.json"))
        return [record for key in keys if (record := self.record(key)) is not None]

    def find(self, key: str) -> Shard | None:
        """The shard of a unit's planned key, or None where it is missing, truncated or altered.

        What a store in a folder beside this one holds of the same key is taken from there, as a
        hard link: two roles may be one model.
        """
        if (own := self._whole(key)) is not None:
            return own
        for path in sorted(self.folder.parent.glob(f"*/{key}.json")):
            lender = ShardStore(path.parent)
            if lender.folder == self.folder or (theirs := lender._whole(key)) is None:
                continue
            with contextlib.suppress(OSError):  # it is gone meanwhile, or there is no room
                for name in (theirs.file, f"{key}.json"):
                    artifacts.link_onto(lender.folder / name, self.folder / name)
                return theirs
        return None

    def _whole(self, key: str) -> Shard | None:
        record = self.record(key)
        return record[0] if record is not None and self.damage(record[0]) is None else None

    def damage(self, shard: Shard) -> str | None:
        """How the bytes of a shard differ from its record: missing, truncated, altered, or None."""
        try:
            state = _state(self.path(shard.key))
            if self._intact.get(shard.key) == state:
                return None
            found = damage(self.path(shard.key), shard)
        except OSError:
            return "missing"
        if found is None:
            self._intact[shard.key] = state
        return found

    def write(self, key: str, tensors: dict[str, Tensor], origin: Origin) -> Shard:
        """Writes a shard and then its record, each by temporary file and rename.

        Args:
            key: of the shard.
            tensors: its tensors.
            origin: what the record tells besides; the record is named by `origin.asked`.
        """
        path, rows = self.path(key), len(tensors["trace"])
        sha256, n_bytes = artifacts.write_file(
            path, lambda fresh: serialization.write(tensors, fresh)
        )
        shard = Shard(key, path.name, sha256, n_bytes, rows)
        self._intact[key] = _state(path)
        described = asdict(origin)
        layers = described.pop("layers")
        record = {**asdict(shard), "origin": described, "layers": layers}
        artifacts.write_json(self.folder / f"{origin.asked}.json", record)
        return shard

    def claim(self, key: str) -> bool:
        """Takes a unit for this process, unless another one has it."""
        if not claims.take(self.folder, key):
            return False
        self._claimed.add(key)
        return True

    def release(self, key: str) -> None:
        """Gives a claim back."""
        claims.give_back(self.folder, key)
        self._claimed.discard(key)

    def close(self) -> None:
        """Gives all claims back."""
        for key in tuple(self._claimed):
            self.release(key)

    def sweep(self) -> None:
        """Removes temporary files that a killed run left an hour ago or earlier."""
        claims.sweep(self.folder)


def damage(path: Path, shard: Shard) -> str | None:
    """How a file differs from the shard that it should be: missing, truncated, altered, or None."""
    if not path.is_file():
        return "missing"
    if path.stat().st_size != shard.bytes:
        return "truncated" if path.stat().st_size < shard.bytes else "altered"
    return None if artifacts.sha256_file(path) == shard.sha256 else "altered"


def publish(store: ShardStore, shards: Sequence[Shard], manifest: Manifest, out: Path) -> None:
    """Makes `out` a folder of hard links to the shards, with the manifest written last.

    Args:
        store: where the shards are.
        shards: the units, in order.
        manifest: what else it says.
        out: the folder, replaced as a whole.
    """
    with artifacts.new_folder(out) as folder:
        for shard in shards:
            artifacts.link_or_copy(store.path(shard.key), folder / shard.file)
        write_manifest(folder, replace(manifest, units=tuple(shards), complete=True))


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
