"""The project as DVC reads it: stages and .dvc files, and why they cannot be read."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifeboat import processes, steps
from lifeboat.git import lock_file
from lifeboat.items import printable
from lifeboat.stage import failures
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc.repo.index import Index


@dataclass(frozen=True)
class Kept:
    """What DVC keeps of files.

    Attributes:
        outs: files and folders of which it has the content.
        left_out: files and folders in these that it leaves out: `.dvcignore` names them, they are
            projects of their own, or links to folders.
        outside: files and folders out of the repository that stages need, or make and DVC does not
            keep, each with its stage.
        uncached: what stages make and DVC is told not to keep (`cache: false`).
    """

    outs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    outside: tuple[tuple[str, str], ...] = ()
    uncached: tuple[str, ...] = ()


def kept(root: Path, start: Path) -> Kept:
    """What DVC keeps of a project, relative to `start`.

    Raises:
        UserError: where dvc.yaml cannot be read.
    """
    with opened(root) as repo, readable(root, "The pipeline"):
        known = index(repo)
        outs = sorted(str(out.fs_path) for out in known.outs if out.use_cache)
        uncached = sorted(str(out.fs_path) for out in known.outs if not out.use_cache)
        left_out = [path for out in outs for path in _left_out(repo, out)]
        outside = sorted({each for stage in known.stages for each in _outside(repo, stage, start)})
    relative = lambda paths: tuple(os.path.relpath(path, start) for path in paths)  # noqa: E731
    return Kept(relative(outs), relative(left_out), tuple(outside), relative(uncached))


def _outside(repo: "Repo", stage: Any, start: Path) -> Iterator[tuple[str, str]]:
    """What DVC does not keep of a stage and no commit could hold, with the stage."""
    uncached = () if stage.is_import else (*stage.deps, *(o for o in stage.outs if not o.use_cache))
    for path in (Path(each.fs_path) for each in uncached if each.protocol == "local"):
        if not (path.is_relative_to(start) or path.resolve().is_relative_to(start.resolve())):
            yield str(path), stage_name(stage, repo.root_dir)


def _left_out(repo: "Repo", out: str) -> Iterator[str]:
    """What DVC's own walk through an out passes over."""
    for folder, folders, names in os.walk(out):
        seen, taken = repo.dvcignore(folder, list(folders), list(names))
        seen = [name for name in seen if not os.path.islink(os.path.join(folder, name))]
        for name in sorted({*folders, *names}.difference(seen, taken)):
            yield os.path.join(folder, name)
        folders[:] = seen


def unfit(repo: "Repo", out: str) -> Iterator[str]:
    """What is in an out and DVC cannot take, or would wait for: what is no file that can be read
    (a pipe, a socket, a link to nothing), and names that are not UTF-8.
    """
    walked = os.walk(out) if os.path.isdir(out) else [(os.path.dirname(out), [], [out])]
    for folder, folders, names in walked:
        folders[:], taken = repo.dvcignore(folder, folders, names)
        for path in (os.path.join(folder, name) for name in taken):
            if not (os.path.isfile(path) and os.access(path, os.R_OK)) or printable(path) != path:
                yield path


def paths(root: Path) -> list[str]:
    """Every out of the pipeline, relative to `root`, with or without bytes.

    Raises:
        UserError: where dvc.yaml cannot be read.
    """
    with opened(root) as repo, readable(root, "The pipeline"):
        return sorted(os.path.relpath(str(out.fs_path), root) for out in index(repo).outs)


def index(repo: "Repo") -> "Index":
    """All stages, with the .dvc files that git does not ignore and DVC's own walk leaves out.

    It takes a pattern as `/data/*/*` for one that ignores the folder `data/raw/` itself.
    """
    from dvc.repo.index import Index

    found = repo.index
    if repo.fs.protocol != "local":
        return found
    files = {os.path.join(repo.root_dir, name) for name in added(Path(repo.root_dir))}
    files -= {stage.path for stage in found.stages}
    there = (path for path in sorted(files) if os.path.isfile(path))
    new = [path for path in there if not repo.dvcignore.is_ignored_file(path)]
    return found.update([stage for path in new for stage in Index.from_file(repo, path).stages])


def added(root: Path) -> list[str]:
    """The .dvc files that git does not ignore, relative to `root`, there or not."""
    asked = ("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.dvc")
    return list(filter(None, processes.git(root, *asked).stdout.split("\0")))


def stage_name(stage: Any, root: str) -> str:
    """The name of a stage, or the path of a .dvc file."""
    return getattr(stage, "name", None) or os.path.relpath(stage.path, root)


@contextlib.contextmanager
def readable(root: Path, what: str, at: str = "") -> Iterator[None]:
    """Whatever DVC raises inside comes out as a `UserError` about `what`, and a merge by its name.

    Args:
        root: the project.
        what: what is being read.
        at: the commit that it is read from, empty for the working tree.

    Raises:
        UserError: for every error.
    """
    try:
        yield
    except (UserError, *steps.ENDINGS):
        raise
    except BaseException as error:  # DVC's parsers have many kinds
        lock_file.require_merged(root, at, what)
        said = failures.in_line(str(error)) or type(error).__name__
        raise UserError(f"{what} cannot be read: {said}.") from error


@contextlib.contextmanager
def opened(root: Path) -> Iterator["Repo"]:
    """The project as DVC reads it, silent and without a lock.

    Raises:
        UserError: where `root` is no DVC project.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logger = logging.getLogger("dvc")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        try:
            repo = Repo(str(root))
        except DvcException as error:
            lock_file.require_merged(root)
            raise UserError(f"{root} cannot be read as a DVC project: {error}.") from None
        with repo:
            yield repo
    finally:
        logger.setLevel(before)
