"""What a remote should hold: every cached out of HEAD and of the workspace, object by object.

HEAD counts because that is what git has saved: its commit without its data is half a study. No
lock of DVC is taken, so this works beside a running `dvc repro`.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lifeboat import processes
from lifeboat.proof import manifests, pipeline
from lifeboat.proof.comparison import Meant
from lifeboat.remotes.bucket import Bucket
from lifeboat.remotes.store_errors import OF_ONE_OBJECT, StoreError
from lifeboat.stage.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo

HEAD, WORKSPACE = "HEAD", "workspace"


@dataclass(frozen=True)
class Out:
    """A cached out that dvc.lock or a .dvc file records.

    Attributes:
        stage: the stage that makes it, or the .dvc file.
        path: relative to the project.
        oid: key of its object, ending in `.dir` for a folder.
        bytes: its size as recorded, a folder's altogether.
        n_files: files of a folder as recorded.
        places: where it is recorded so, HEAD, workspace or both.
    """

    stage: str
    path: str
    oid: str
    bytes: int | None = None
    n_files: int | None = None
    places: tuple[str, ...] = (WORKSPACE,)

    @property
    def is_folder(self) -> bool:
        """Whether the out is a folder."""
        return self.oid.endswith(".dir")


@dataclass(frozen=True)
class Object:
    """One object that the remote should hold.

    Attributes:
        oid: its key, an MD5 of its content.
        path: the file that it is, relative to the project; for a list of files the folder.
        bytes: its size as recorded, where dvc.lock says it.
        stage: whose it is.
        is_known: false for a folder's list that is neither here nor, whole and readable, in the
            remote: its files are unknown.
    """

    oid: str
    path: str
    bytes: int | None
    stage: str
    is_known: bool = True


@dataclass(frozen=True)
class Expected:
    """What HEAD and the workspace expect a remote to hold.

    Attributes:
        outs: each once by path and content.
        unfinished: stages of the workspace's dvc.yaml that dvc.lock has no complete entry of; of
            HEAD's, where the workspace's cannot be read.
        kept_back: outs of which the pipeline says that they are not pushed (`push: false`).
        problems: what could not be read, in sentences.
        cache: DVC's local cache.
        stage_by_out: the cached outs of the same, recorded or not, and whose they are.
    """

    outs: tuple[Out, ...] = ()
    unfinished: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    cache: Path = Path(".dvc/cache")
    stage_by_out: dict[str, str] = field(default_factory=dict)

    def cached(self, oid: str) -> Path:
        """Where the local cache keeps an object, if it has it."""
        return self.cache / manifests.key(oid)

    def meant(self, oid: str, n_bytes: int | None = None) -> Meant:
        """An object as a remote should hold it; its size where it is recorded."""
        md5 = oid.removesuffix(".dir")
        return Meant(manifests.key(oid), md5, n_bytes, self.cached(oid))


def read(root: Path) -> Expected:
    """The cached outs of HEAD and of the workspace; a place that cannot be read is a problem.

    Raises:
        UserError: where `root` is no DVC project.
    """
    with pipeline.opened(root) as repo:
        cache = Path(repo.cache.local.path).parents[1]
        workspace = _attempt(root, WORKSPACE, lambda: _of_workspace(root, repo))
        head = _attempt(root, HEAD, lambda: _of_head(root, repo))
    known = workspace if workspace.stage_by_out else head
    return Expected(
        outs=tuple(_merged([*head.outs, *workspace.outs])),
        unfinished=tuple(sorted(known.unfinished)),
        kept_back=tuple(sorted({*workspace.kept_back, *head.kept_back})),
        problems=(*workspace.problems, *head.problems),
        cache=cache,
        stage_by_out=known.stage_by_out,
    )


def objects(outs: Iterable[Out], expected: Expected, bucket: Bucket) -> Iterator[Object]:
    """Every object of some outs: a folder's list, then its files.

    The list comes from the local cache or else from the remote, and only where its bytes hash to
    its name; otherwise it is yielded alone, as not known.

    Raises:
        StoreError: where the remote cannot be asked.
        DamagedListError: for a list that is damaged or has paths that lead out of its folder.
    """
    for out in outs:
        if not out.is_folder:
            yield Object(out.oid, out.path, out.bytes, out.stage)
            continue
        listed = _listed(out.oid, expected, bucket)
        yield Object(out.oid, out.path, None, out.stage, listed is not None)
        if listed is not None:
            for entry in manifests.entries(out.oid, listed):
                yield Object(entry.oid, f"{out.path}/{entry.path}", None, out.stage)


def _listed(oid: str, expected: Expected, bucket: Bucket) -> bytes | None:
    """A folder's list from the local cache or else the remote, if its bytes hash to its name."""
    with contextlib.suppress(OSError):
        data = expected.cached(oid).read_bytes()
        if manifests.is_whole(oid, data):
            return data
    try:
        data = bucket.read(manifests.key(oid))
    except StoreError as error:
        if error.kind in OF_ONE_OBJECT:
            return None
        raise
    return data if manifests.is_whole(oid, data) else None


def _of_head(root: Path, repo: "Repo") -> Expected:
    from dvc.repo.brancher import switch

    if processes.is_in_git(root):
        processes.require_repository(root)
    if not processes.git_id(root, "HEAD:./.dvc"):  # it was no DVC project yet
        return Expected()
    with switch(repo, "HEAD"):
        _read_as_they_are(cast("Any", repo.fs).fs.trie.trie.values())
        return _collect(repo, HEAD)


def _read_as_they_are(objects: Iterable[Any]) -> None:
    """Lets objects of git be read at once and as git keeps them.

    With a backend they are read in a thread, through filters that need the user's index: where
    libgit2 cannot read that, or the object, the thread ends and its reader waits for ever.
    """
    for one in objects:
        one.backend = None


def _collect(repo: "Repo", place: str) -> Expected:
    outs, problems, stage_by_out = list[Out](), list[str](), dict[str, str]()
    unfinished, kept_back = set[str](), set[str]()
    repo._reset()
    for out in cast("list[Any]", list(pipeline.index(repo).outs)):
        path = os.path.relpath(out.fs_path, repo.root_dir)
        stage = pipeline.stage_name(out.stage, repo.root_dir)
        value = out.hash_info.value if out.hash_info else None
        if value is None and not out.stage.is_import:
            unfinished.add(stage)
        if not out.use_cache:
            continue
        stage_by_out[path] = stage
        if not out.can_push:
            kept_back.add(path)
        elif value is None:
            continue
        elif wrong := _wrong(out.hash_info):
            problems.append(f"`{path}` of `{stage}` ({place}) is recorded {wrong}.")
        else:
            outs.append(Out(stage, path, value, out.meta.size, out.meta.nfiles, (place,)))
    return Expected(
        outs=tuple(outs),
        unfinished=tuple(unfinished),
        kept_back=tuple(kept_back),
        problems=tuple(problems),
        stage_by_out=stage_by_out,
    )


def _wrong(recorded: Any) -> str:
    if recorded.name != "md5":
        return f"by {recorded.name}, of DVC 2. Run `dvc cache migrate --dvc-files`"
    if not manifests.is_oid(recorded.value):
        return f"with {recorded.value!r:.60}, which is no MD5"
    return ""


def _merged(outs: list[Out]) -> list[Out]:
    """Each out once by path and content, with all its places."""
    by_content: dict[tuple[str, str], Out] = {}
    for out in outs:
        known = by_content.setdefault((out.path, out.oid), out)
        if known is not out:
            places = (*known.places, *out.places)
            by_content[(out.path, out.oid)] = replace(out, places=places)
    return sorted(by_content.values(), key=lambda out: (out.path, out.places))


def _of_workspace(root: Path, repo: "Repo") -> Expected:
    """What is read while dvc.lock did not change: DVC writes it in place."""
    for _ in range(4):
        before = stamp(root / "dvc.lock")
        with contextlib.suppress(Exception):
            found = _collect(repo, WORKSPACE)
            if stamp(root / "dvc.lock") == before:
                return found
    return _collect(repo, WORKSPACE)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What of a file is another once it was written or replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _attempt(root: Path, place: str, collect: Callable[[], Expected]) -> Expected:
    try:
        with pipeline.readable(root, f"The pipeline of {place}", at=place.replace(WORKSPACE, "")):
            return collect()
    except UserError as error:
        return Expected(problems=(str(error),))
