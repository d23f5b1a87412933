"""`lifeboat store prune`: units of what is finished go, and of outs that no pipeline has any more.

While an out of the pipeline is missing, its units stay: they may be its parts. In the remote
(`--remote`), parts go that no index names any more. An index is the only word that a machine may
have left of its unfinished work, so none goes unless it is asked for by name.
"""

import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from lifeboat import project
from lifeboat.items import Item, megabytes
from lifeboat.proof import pipeline
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial
from lifeboat.saving.partial import Index
from lifeboat.stage import abilities, temporary
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import PAID

FRESH_S = 3600
"""Files younger than this stay: a run may be writing them now."""

FRESH_PARTS_S = 3 * 24 * 3600
"""Younger parts stay: a backup sends them before the index that names them."""


def prune(root: Path, *, dry_run: bool = False) -> list[Item]:
    """Removes what may go from the store, or says what would.

    A unit stays that an out has as a file of the same name: it costs no bytes there, and a later
    run may take it up.

    Raises:
        UserError: where the pipeline cannot be read, or a file cannot be removed.
    """
    store = project.store(root)
    outs = pipeline.paths(root) if (root / "dvc.yaml").is_file() else []
    gone, notes, n_young = list[Path](), list[Item](), 0
    missing = [out for out in outs if not (root / out).exists()]
    for out, paths in _by_out(store, outs).items():
        if out in missing:
            fact = f"{len(paths)} files stay: {out} is missing, and they may be its parts."
            cure = "Run `lifeboat reproduce` or `dvc pull`, then prune."
            notes.append(Item(fact, "ok", cure))
            continue
        held = {path.name for path in (root / out).rglob("*")} if out else set[str]()
        unnamed = [path for path in paths if path.name not in held]
        now = abilities.now(store) if unnamed else 0.0
        old = [
            path
            for path in unnamed
            if now - path.lstat().st_mtime > FRESH_S and not temporary.is_held(path)
        ]
        gone += old
        n_young += len(unnamed) - len(old)
    items = [_said(gone, dry_run), *notes]
    if not dry_run:
        _remove(gone)
    if n_young:
        items.append(Item(f"{n_young} unnamed files are younger than an hour and stay."))
    return items


def prune_remote(root: Path, *, forget: str = "", dry_run: bool = False) -> list[Item]:
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
    then = _now(bucket) - FRESH_PARTS_S if unnamed else 0.0
    freed |= {one.key for one in unnamed if one.modified is not None and one.modified < then}
    gone = [one for one in unnamed if one.key in freed]
    if not dry_run:
        for key in (*(index.key for index in forgotten), *(stored.key for stored in gone)):
            bucket.remove(key)
    size = megabytes(sum(stored.bytes for stored in gone))
    said = f"{len(gone)} parts, {size}, from {bucket.url}"
    items = [_gone(said, [stored.key for stored in gone], dry_run)]
    if young := len(unnamed) - len(gone):
        items.append(Item(f"{young} unnamed parts are younger than three days and stay."))
    return items + [_kept(index) for index in left if index.parts]


def _now(bucket: Bucket) -> float:
    """The time by the clock that the remote's objects get theirs from, where it tells."""
    key = f"prune-{secrets.token_hex(8)}.probe"
    try:
        return bucket.write(key, b"now").modified or time.time()
    finally:
        bucket.remove(key)


def _by_out(store: Path, outs: list[str]) -> dict[str, list[Path]]:
    """The files of the store's folders by the out that they are of; "" for those of none.

    What money was paid for is left out: no run makes it again for nothing.
    """
    found: dict[str, list[Path]] = {}
    for folder, _folders, names in os.walk(store):
        at = Path(folder).relative_to(store).as_posix()
        if not at.startswith(".") and at.split("/")[0] != PAID:
            out = next((one for one in outs if f"{at}/".startswith(f"{one}/")), "")
            found.setdefault(out, []).extend(Path(folder) / name for name in sorted(names))
    return found


def _said(gone: list[Path], dry_run: bool) -> Item:
    n_bytes = sum(path.lstat().st_size for path in gone)
    linked = sum(path.lstat().st_size for path in gone if path.lstat().st_nlink > 1)
    also = f"; {megabytes(linked)} of it stay, linked from DVC's cache or an out" if linked else ""
    return _gone(f"{len(gone)} files, {megabytes(n_bytes)}{also}", sorted(gone), dry_run)


def _gone(what: str, names: Sequence[object], dry_run: bool) -> Item:
    listed = "".join(f"\n  {name}" for name in names) if dry_run else ""
    return Item(f"{'Would remove' if dry_run else 'Removed'} {what}.{listed}")


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path} could not be removed: {error.strerror}.") from error


def _kept(index: Index) -> Item:
    size = megabytes(sum(part.bytes for part in index.parts))
    where = index.branch or f"a detached HEAD, {index.commit[:7]}"
    fact = f"Machine {index.machine} keeps {len(index.parts)} parts of {where}, {size}."
    cure = f"If it is done for: `lifeboat store prune --remote --forget {index.machine}`."
    return Item(fact, "ok", cure)
