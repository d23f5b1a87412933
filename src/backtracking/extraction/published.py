"""What stands where a store is to be published: nothing may be lost or overwritten unseen."""

from pathlib import Path

from backtracking.activations.format import MANIFEST, Shard
from backtracking.activations.manifest import read_manifest
from backtracking.extraction import store
from backtracking.extraction.store import ShardStore
from lifeboat.stage.errors import UserError


def require_replaceable(out: Path, shards: ShardStore, *, repair: bool) -> None:
    """Checks that `out` is free, or an activation store without damage.

    Args:
        out: the folder to publish.
        shards: the shards by key.
        repair: whether a damaged store may be replaced.

    Raises:
        UserError: where `out` is a file, holds anything else, has damaged shards (named), or
            contains the store of shards.
    """
    if out.resolve() in (shards.folder.resolve(), *shards.folder.resolve().parents):
        raise UserError(
            f"The store of shards {shards.folder} lies in the folder to publish, {out}.",
            "Put it elsewhere with `--store`: publishing replaces the folder as a whole.",
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / MANIFEST).is_file():
        raise UserError(
            f"{out} is there already and is no activation store: it has no {MANIFEST}.",
            "Nothing was touched. Choose another folder, or move this one away.",
        )
    if repair:
        return
    damaged = find_damaged(out, shards)
    if damaged:
        named = ", ".join(f"{shard.file} is {how}" for shard, how in damaged)
        raise UserError(
            f"{out}: {named}.", "`--repair` computes just what is damaged again, and nothing else."
        )


def find_damaged(out: Path, shards: ShardStore) -> list[tuple[Shard, str]]:
    """The shards of a published store that are missing, truncated or altered, and which of these.

    Args:
        out: the folder.
        shards: the shards by key; a file that is one of them is hashed once for both.
    """
    found = []
    for shard in read_manifest(out).units:
        path, stored = out / shard.file, shards.path(shard.key)
        is_same = path.is_file() and stored.is_file() and path.samefile(stored)
        how = shards.damage(shard) if is_same else store.damage(path, shard)
        if how is not None:
            found.append((shard, how))
    return found
