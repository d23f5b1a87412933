"""`lifeboat store prune`: units of what is finished go, and of outs that no pipeline has any more.

While an out of the pipeline is missing, its units stay: they may be its parts.
"""

import os
import time
from pathlib import Path

from lifeboat import project
from lifeboat.items import Item, megabytes
from lifeboat.proof import expected
from lifeboat.stage.errors import UserError

FRESH_S = 3600
"""Files younger than this stay: a run may be writing them now."""


def prune(root: Path, *, dry_run: bool = False) -> list[Item]:
    """Removes what may go from the store, or says what would.

    A unit stays that an out has as a file of the same name: it costs no bytes there, and a later
    run may take it up.

    Raises:
        UserError: where the pipeline cannot be read, or a file cannot be removed.
    """
    store = project.store(root)
    outs = expected.paths(root) if (root / "dvc.yaml").is_file() else []
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
        old = [path for path in unnamed if time.time() - path.lstat().st_mtime > FRESH_S]
        gone += old
        n_young += len(unnamed) - len(old)
    items = [_said(gone, dry_run), *notes]
    if not dry_run:
        _remove(gone)
    if n_young:
        items.append(Item(f"{n_young} unnamed files are younger than an hour and stay."))
    return items


def _by_out(store: Path, outs: list[str]) -> dict[str, list[Path]]:
    """The files of the store's folders by the out that they are of; "" for those of none."""
    found: dict[str, list[Path]] = {}
    for folder, _folders, names in os.walk(store):
        at = Path(folder).relative_to(store).as_posix()
        if not at.startswith("."):
            out = next((one for one in outs if f"{at}/".startswith(f"{one}/")), "")
            found.setdefault(out, []).extend(Path(folder) / name for name in sorted(names))
    return found


def _said(gone: list[Path], dry_run: bool) -> Item:
    n_bytes = sum(path.lstat().st_size for path in gone)
    linked = sum(path.lstat().st_size for path in gone if path.lstat().st_nlink > 1)
    listed = "".join(f"\n  {path}" for path in sorted(gone)) if dry_run else ""
    verb = "Would remove" if dry_run else "Removed"
    also = f"; {megabytes(linked)} of it stay, linked from DVC's cache or an out" if linked else ""
    return Item(f"{verb} {len(gone)} files, {megabytes(n_bytes)}{also}.{listed}")


def _remove(paths: list[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UserError(f"{path} could not be removed: {error.strerror}.") from error
