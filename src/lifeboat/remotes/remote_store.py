"""`lifeboat store prune --remote`: parts in the remote that no index names any more.

An index is the only word that a machine may have left of its unfinished work, so none goes unless
it is asked for by name.
"""

import time
from pathlib import Path

from lifeboat.items import Item, megabytes
from lifeboat.remotes.bucket import Bucket, Stored, open_bucket
from lifeboat.saving import partial
from lifeboat.saving.partial import Index
from lifeboat.stage.errors import UserError

FRESH_S = 3 * 24 * 3600
"""Younger parts stay: a backup sends them before the index that names them."""


def prune(root: Path, *, forget: str = "", dry_run: bool = False) -> list[Item]:
    """Removes old parts that no index names, or says what would go.

    Args:
        root: the project.
        forget: a machine whose indexes go first.
        dry_run: whether nothing is removed.

    Raises:
        UserError: where the remote cannot be asked, an index cannot be read, because it may name
            any part, or nobody knows the machine.
    """
    bucket = open_bucket(root)
    indexes = list(partial.read_indexes(bucket))
    forgotten = [index for index in indexes if index.machine == forget]
    if forget and not forgotten:
        known = ", ".join(sorted({index.machine for index in indexes})) or "none"
        raise UserError(
            f"No machine {forget!r} has unfinished work in {bucket.url}; known: {known}."
        )
    left = [index for index in indexes if index not in forgotten]
    named = {part.key for index in left for part in index.parts}
    freed = {part.key for index in forgotten for part in index.parts}
    unnamed = [stored for stored in bucket.list(partial.OBJECTS) if stored.key not in named]
    gone = [stored for stored in unnamed if _is_old(stored) or stored.key in freed]
    if not dry_run:
        for key in (*(index.key for index in forgotten), *(stored.key for stored in gone)):
            bucket.remove(key)
    items = [_said(gone, bucket, dry_run)]
    if young := len(unnamed) - len(gone):
        items.append(Item(f"{young} unnamed parts are younger than three days and stay."))
    return items + [_told(index) for index in left if index.parts]


def _is_old(stored: Stored) -> bool:
    return stored.modified is not None and time.time() - stored.modified > FRESH_S


def _said(gone: list[Stored], bucket: Bucket, dry_run: bool) -> Item:
    listed = "".join(f"\n  {stored.key}" for stored in gone) if dry_run else ""
    verb = "Would remove" if dry_run else "Removed"
    size = megabytes(sum(stored.bytes for stored in gone))
    return Item(f"{verb} {len(gone)} parts, {size}, from {bucket.url}.{listed}")


def _told(index: Index) -> Item:
    size = megabytes(sum(part.bytes for part in index.parts))
    where = index.branch or f"a detached HEAD, {index.commit[:7]}"
    fact = f"Machine {index.machine} keeps {len(index.parts)} parts of {where}, {size}."
    cure = f"If it is done for: `lifeboat store prune --remote --forget {index.machine}`."
    return Item(fact, "ok", cure)
