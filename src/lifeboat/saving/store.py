"""`backtracking store prune`: shards that no manifest names, and parts of what is finished, go.

What may be the partial work of something unfinished stays. While an activation cache of the
pipeline is missing, all shards stay; while a model is missing, all checkpoints; while the traces
are, their portions.
"""

import time
from pathlib import Path

from backtracking.runtime.workspace import Workspace
from lifeboat.items import Item
from lifeboat.proof import outs
from lifeboat.saving import partial
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

FRESH_S = 3600
"""Files younger than this stay: a run may be writing them now."""

_KINDS = (
    ("activations", "shards", partial.ACTIVATIONS),
    ("checkpoints", "checkpoints", partial.MODELS),
    ("traces", "batches of traces", partial.TRACES),
)
"""Folders of the store, what is in them, and how the outs begin that it becomes."""


def prune(workspace: Workspace, *, dry_run: bool = False) -> list[Item]:
    """Removes what may go from the store, or says what would.

    Raises:
        UserError: where a manifest cannot be read, because it may name any file; where a file
            cannot be removed.
    """
    missing = _missing_outs(workspace.root)
    gone, notes, n_fresh = list[Path](), list[Item | None](), 0
    for folder, what, start in _KINDS:
        named = named_keys(workspace) if start == partial.ACTIVATIONS else set[str]()
        old, n_young = _prunable(workspace.store / folder, named)
        n_fresh += n_young
        if waiting := [path for path in missing if path.startswith(start)]:
            notes.append(_note(old, what, waiting))
        else:
            gone += old
    gone.sort()
    n_bytes = sum(path.lstat().st_size for path in gone)
    n_freed = sum(path.lstat().st_size for path in gone if path.lstat().st_nlink == 1)
    if not dry_run:
        _remove(gone)
    items = [_said(gone, n_bytes, n_freed, dry_run), *[note for note in notes if note]]
    if n_fresh:
        items.append(Item(f"{n_fresh} unnamed files are younger than an hour and stay."))
    return items


def named_keys(workspace: Workspace) -> set[str]:
    """Keys of all units that the activation caches in the workspace are made of."""
    manifests = workspace.activations("*").parent.glob("*/manifest.json")
    return {key for path in manifests for key in _keys(path)}


def _keys(manifest: Path) -> list[str]:
    """The shards that a manifest names, and the records of those that are named otherwise."""
    value = artifacts.read_json(manifest)
    try:
        halved = [str(unit["asked"]) for unit in value.get("halved", [])]
        return [str(unit["key"]) for unit in value["units"]] + halved
    except (KeyError, TypeError):
        raise UserError(
            f"{manifest} has no list of units with keys, so it may name any shard.",
            "Make it again with `make reproduce`, then prune.",
        ) from None


def _prunable(folder: Path, named: set[str]) -> tuple[list[Path], int]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    unnamed = [path for path in found if path.name.startswith(".") or path.stem not in named]
    old = [path for path in unnamed if time.time() - path.lstat().st_mtime > FRESH_S]
    return old, len(unnamed) - len(old)


def _missing_outs(root: Path) -> list[str]:
    if not (root / "dvc.yaml").is_file():
        return []
    return [path for path in outs.paths(root) if not (root / path).exists()]


def _note(files: list[Path], what: str, waiting: list[str]) -> Item | None:
    if not files:
        return None
    fact = f"{len(files)} {what} stay: {', '.join(waiting)} is missing, and they may be its parts."
    return Item(fact, "ok", "Run `make reproduce` or `dvc pull`, then prune.")


def _said(gone: list[Path], n_bytes: int, n_freed: int, dry_run: bool) -> Item:
    listed = "".join(f"\n  {path}" for path in gone) if dry_run else ""
    verb = "Would remove" if dry_run else "Removed"
    linked = n_bytes - n_freed
    also = (
        f"; {linked / 1e6:.1f} MB of it stay, linked from DVC's cache or an out" if linked else ""
    )
    return Item(f"{verb} {len(gone)} files, {n_bytes / 1e6:.1f} MB{also}.{listed}")


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path} could not be removed: {error.strerror}.") from error
