"""Outs that are whole in DVC's cache, linked into the workspace."""

import os
from collections.abc import Iterable
from pathlib import Path

from lifeboat import processes
from lifeboat.items import Item
from lifeboat.proof.expected import Out


def check_out(root: Path, outs: Iterable[Out]) -> list[Item]:
    """Links outs that are whole in the cache into the workspace, and says which it could not.

    An out in the workspace that has anything that is in no cache is left as it is.
    """
    paths = [out.path for out in outs]
    absent = [path for path in paths if not os.path.lexists(root / path)]
    present = [path for path in paths if os.path.lexists(root / path)]
    return [*_check_out(root, absent), *_check_out(root, present)]


def _check_out(root: Path, paths: list[str]) -> list[Item]:
    """One `dvc checkout` for all, and where that is refused one for each."""
    if not paths:
        return []
    done = processes.dvc(root, "--wait-for-lock", "checkout", *paths)
    if done.returncode == 0:
        return []
    if len(paths) > 1:
        return [item for path in paths for item in _check_out(root, [path])]
    if "unsaved files" in done.stderr:
        fact = (
            f"`{paths[0]}` was left as it is: it has files that are neither saved nor in dvc.lock."
        )
        cure = f"If they are not needed: `dvc checkout --force {paths[0]}`."
        return [Item(fact, "warning", cure)]
    fact = f"`dvc checkout {paths[0]}` failed: {processes.last_lines(done)}."
    return [Item(fact, "wrong", "Mend that, then run `lifeboat restore` again.")]
