"""Git's objects as files in a temporary folder: of the index, and of commits not yet pushed."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lifeboat import processes

_LINK = "120000"
_SUBMODULE = "160000"
_AT_ONCE = 200
_OID = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class Candidate:
    """A file that is in git, or may come to be.

    Attributes:
        path: relative to the project.
        bytes: its size.
        content: a file with these bytes; None for a large one and for a link.
        link: where it points, for a symbolic link.
        oid: git's name of it, where it has one.
    """

    path: str
    bytes: int
    content: Path | None
    link: str = ""
    oid: str = ""


@dataclass(frozen=True)
class _Entry:
    path: str
    oid: str
    is_link: bool = False


@contextmanager
def of_index(root: Path, paths: list[str], largest: int) -> Iterator[list[Candidate]]:
    """What is staged under these paths; not what stands in the working tree.

    Args:
        root: the project.
        paths: relative to it; those that are not in the index are left out.
        largest: bytes above which a content is not read.
    """
    wanted = set(paths)
    with _written(root, [e for e in _index(root) if e.path in wanted], largest) as found:
        yield found


@contextmanager
def of_commits(root: Path, tip: str, remote: str, largest: int) -> Iterator[list[Candidate]]:
    """Every file of the commits up to `tip` that the remote does not have, each version once.

    Where nothing is known of the remote, as before the first push, the files of `tip` itself.
    """
    entries = _listed(root, tip, remote) if _is_known(root, remote) else _tree(root, tip)
    with _written(root, entries, largest) as found:
        yield found


def messages_of(root: Path, tip: str, remote: str) -> dict[str, str]:
    """Messages of the commits up to `tip` that the remote does not have, by their short names."""
    known = _is_known(root, remote)
    only = ["--not", f"--remotes={remote}"] if known else ["--max-count=1"]
    said = processes.git(root, "log", "-z", "--format=%h %B", tip, *only).stdout
    rows = [row.partition(" ") for row in said.split("\0") if row]
    return {commit: message for commit, _, message in rows}


def _is_known(root: Path, remote: str) -> bool:
    """Whether a branch of the remote has ever been seen here."""
    seen = ["for-each-ref", "--count=1", f"refs/remotes/{remote}/"]
    return bool(processes.git_line(root, *seen))


def _index(root: Path) -> list[_Entry]:
    return _entries(processes.git(root, "ls-files", "--stage", "-z", "--full-name").stdout)


def _tree(root: Path, tip: str) -> list[_Entry]:
    return _entries(processes.git(root, "ls-tree", "-r", "-z", "--full-tree", tip).stdout)


def _entries(listed: str) -> list[_Entry]:
    """Rows `mode [type] oid [stage]<tab>path`; submodules are others' repositories."""
    rows = [row.partition("\t") for row in listed.split("\0") if "\t" in row]
    return [
        _Entry(
            path, next(word for word in facts.split() if _OID.fullmatch(word)), facts[:6] == _LINK
        )
        for facts, _, path in rows
        if facts[:6] != _SUBMODULE
    ]


def _listed(root: Path, tip: str, remote: str) -> list[_Entry]:
    new = processes.git(root, "rev-list", "--objects", tip, "--not", f"--remotes={remote}").stdout
    rows = [line.partition(" ") for line in new.splitlines()]
    return [_Entry(path, oid) for oid, _, path in rows if path and _OID.fullmatch(oid)]


@contextmanager
def _written(root: Path, entries: list[_Entry], largest: int) -> Iterator[list[Candidate]]:
    with tempfile.TemporaryDirectory() as folder:
        sizes = _sizes(root, [entry.oid for entry in entries])
        small = [oid for oid, size in sizes.items() if size <= largest]
        for oid, data in _contents(root, small):
            (Path(folder) / oid).mkdir()
            (Path(folder) / oid / "content").write_bytes(data)
        blobs = [entry for entry in entries if entry.oid in sizes]
        yield [_candidate(Path(folder), entry, sizes[entry.oid], largest) for entry in blobs]


def _candidate(folder: Path, entry: _Entry, size: int, largest: int) -> Candidate:
    written = folder / entry.oid / "content"
    if entry.is_link and size <= largest:
        return Candidate(entry.path, size, None, written.read_text(errors="replace"), entry.oid)
    if size > largest:
        return Candidate(entry.path, size, None, oid=entry.oid)
    # A scanner goes by a file's name, so the content has that too.
    named = written.with_name(Path(entry.path).name)
    if named != written and not named.exists():
        named.hardlink_to(written)
    return Candidate(entry.path, size, named, oid=entry.oid)


def _sizes(root: Path, oids: list[str]) -> dict[str, int]:
    """Bytes of each object that is a file."""
    asked = "".join(f"{oid}\n" for oid in dict.fromkeys(oids))
    said = processes.git(root, "cat-file", "--batch-check", given=asked).stdout
    rows = [line.split() for line in said.splitlines()]
    return {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1] == "blob"}


def _contents(root: Path, oids: list[str]) -> Iterator[tuple[str, bytes]]:
    for start in range(0, len(oids), _AT_ONCE):
        chunk = oids[start : start + _AT_ONCE]
        said = subprocess.run(
            ["git", "cat-file", "--batch"],
            check=True,
            cwd=root,
            env=processes.environment(root),
            input="".join(f"{oid}\n" for oid in chunk).encode(),
            capture_output=True,
        ).stdout
        at = 0
        for oid in chunk:
            end = said.index(b"\n", at)
            size = int(said[at:end].split()[2])
            yield oid, said[end + 1 : end + 1 + size]
            at = end + size + 2
