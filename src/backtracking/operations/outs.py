"""The outs of the pipeline, from DVC's own index, and which of their objects a remote holds."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.errors import UserError


@dataclass(frozen=True)
class Expected:
    """A cached out that dvc.lock or a .dvc file records.

    Attributes:
        stage: the stage that makes it.
        path: the out, relative to the project.
        oids: keys of its objects, a folder's own and its files'.
        readable: false where the list of a folder's files is neither here nor in the remote.
    """

    stage: str
    path: str
    oids: tuple[str, ...]
    readable: bool


def expectations(root: Path) -> tuple[list[Expected], set[str]]:
    """Every cached out of the pipeline, and those keys of its objects that the remote has.

    Raises:
        UserError: where the remote cannot be asked.
    """
    from dvc.repo import Repo

    try:
        with _quiet(), Repo(str(root)) as repo:
            store = repo.cloud.get_remote_odb(command="push")
            expected = [_expected(root, out, store) for out in repo.index.outs if out.use_cache]
            wanted = sorted({oid for out in expected for oid in out.oids})
            return expected, set(store.list_oids_exists(wanted)) if wanted else set()
    except Exception as error:  # every kind of remote has its own
        raise UserError(f"The DVC remote could not be asked what it has: {error}") from error


def paths(root: Path) -> list[str]:
    """Every out of the pipeline, relative to `root`, with or without bytes.

    Raises:
        UserError: where dvc.yaml cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with _quiet(), Repo(str(root)) as repo:
            return sorted(os.path.relpath(out.fs_path, root) for out in repo.index.outs)
    except DvcException as error:
        raise UserError(f"DVC cannot read the pipeline: {error}") from error


def _expected(root: Path, out: Any, store: Any) -> Expected:
    from dvc_data.hashfile.tree import Tree

    path = os.path.relpath(out.fs_path, root)
    stage = getattr(out.stage, "name", None) or os.path.relpath(out.stage.path, root)
    if not out.hash_info:
        return Expected(stage, path, (), True)
    if not out.hash_info.isdir:
        return Expected(stage, path, (out.hash_info.value,), True)
    for place in (out.cache, store):
        with contextlib.suppress(OSError):
            files = [str(info.value) for _, _, info in Tree.load(place, out.hash_info) if info]
            return Expected(stage, path, (out.hash_info.value, *files), True)
    return Expected(stage, path, (out.hash_info.value,), False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("dvc")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
