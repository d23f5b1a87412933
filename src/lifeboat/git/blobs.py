"""Files as git has them: of the index, and of commits not yet pushed."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lifeboat import processes
from lifeboat.secrets.refusing import MAX_BYTES, Candidate

_LINK = "120000"
_SUBMODULE = "160000"
_OID = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class _Entry:
    path: str
    oid: str
    is_link: bool = False


def of_index(root: Path, paths: list[str]) -> Iterator[Candidate]:
    """What is staged under these paths; not what stands in the working tree.

    In a hook it is what the commit at hand would hold, whose index git names.
    """
    own = processes.of_hook()
    listed = processes.git(root, "ls-files", "--stage", "-z", "--full-name", extra=own).stdout
    wanted = set(paths)
    return _read(root, [entry for entry in _entries(listed) if entry.path in wanted], own)


def of_commits(root: Path, tip: str, remote: str) -> Iterator[Candidate]:
    """Every file of the commits up to `tip` that the remote does not have, each version once.

    Where nothing is known of the remote, as before the first push, the files of `tip` itself.
    """
    if not _is_known(root, remote):
        listed = processes.git(root, "ls-tree", "-r", "-z", "--full-tree", tip).stdout
        return _read(root, _entries(listed))
    new = processes.git(root, "rev-list", "--objects", tip, "--not", f"--remotes={remote}").stdout
    rows = [line.partition(" ") for line in new.split("\n")]
    return _read(root, [_Entry(path, oid) for oid, _, path in rows if path])


def of_tree(root: Path, commit: str, paths: Sequence[str]) -> Iterator[Candidate]:
    """The files that a commit has at or under these paths, which are relative to `root`."""
    listed = processes.git(root, "ls-tree", "-r", "-z", commit, "--", *paths).stdout
    return _read(root, _entries(listed))


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


def _entries(listed: str) -> list[_Entry]:
    """Rows `mode [type] oid [stage]<tab>path`; submodules are others' repositories."""
    rows = [row.partition("\t") for row in listed.split("\0") if "\t" in row]
    return [
        _Entry(path, next(filter(_OID.fullmatch, facts.split())), facts.startswith(_LINK))
        for facts, _, path in rows
        if not facts.startswith(_SUBMODULE)
    ]


def _read(
    root: Path, entries: list[_Entry], own: dict[str, str] | None = None
) -> Iterator[Candidate]:
    """The files among some objects, one at a time; large ones without their content."""
    asked = "".join(f"{oid}\n" for oid in dict.fromkeys(entry.oid for entry in entries))
    said = processes.git(root, "cat-file", "--batch-check", given=asked, extra=own).stdout
    rows = [line.split() for line in said.splitlines()]
    sizes = {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1] == "blob"}
    command, pipe = [*processes.GIT, "cat-file", "--batch"], subprocess.PIPE
    variables = processes.environment(root) | (own or {})
    with subprocess.Popen(command, cwd=root, env=variables, stdin=pipe, stdout=pipe) as git:
        assert git.stdin and git.stdout
        for entry in entries:
            if (size := sizes.get(entry.oid, -1)) > MAX_BYTES:
                yield Candidate(entry.path, size, None, oid=entry.oid)
            elif size >= 0:
                git.stdin.write(f"{entry.oid}\n".encode())
                git.stdin.flush()
                git.stdout.readline()
                data = git.stdout.read(size + 1)[:-1]
                link = data.decode(errors="replace") if entry.is_link else ""
                yield Candidate(entry.path, size, None if link else data, link, entry.oid)
