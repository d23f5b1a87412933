"""What must not go into git: by its name, its size or its content."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifeboat.items import megabytes
from lifeboat.secrets import scanning
from lifeboat.stage import redaction

MAX_BYTES = 10_000_000
"""Larger files belong to DVC."""

_ACCOUNTS = re.compile(r"(?i)\.+env(?:[._~-].*)?|.+\.env")
_OPEN = (".env.example",)
_KEYS = {
    ".git-credentials",
    ".netrc",
    ".pypirc",
    "_netrc",
    "config.local",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
}
_MARK = "Take it out (or end the line with `# pragma: allowlist secret` if it is none)."
_MARK_OUTPUT = (
    "Clear that output or take it out of the source (or end a line of the cell's source with "
    "`# pragma: allowlist secret` if it is none)."
)


@dataclass(frozen=True)
class Candidate:
    """A file that is in git, or may come to be.

    Attributes:
        path: relative to the project.
        size: in bytes.
        content: its bytes; None for a large one and for a link.
        link: where it points, for a symbolic link.
        oid: git's name of it, where it has one.
    """

    path: str
    size: int
    content: bytes | None
    link: str = ""
    oid: str = ""


@dataclass(frozen=True)
class Reason:
    """Why a file must stay out.

    Attributes:
        file: the file.
        fact: its path and what is wrong with it, without any secret.
        cure: what to do.
    """

    file: Candidate
    fact: str
    cure: str


def in_tree(root: Path, path: str) -> Candidate | None:
    """A file of the working tree; None where there is none: a stage may just have renamed it."""
    file = root / path
    try:
        if file.is_symlink():
            return Candidate(path, file.lstat().st_size, None, str(file.readlink()))
        if not file.is_file():
            return None
        size = file.stat().st_size
        return Candidate(path, size, file.read_bytes() if size <= MAX_BYTES else None)
    except OSError:
        return None


def reasons(candidates: Iterable[Candidate | None]) -> list[Reason]:
    """Why files must not go into git, for each that must not; of one at a time the content."""
    return [reason for each in filter(None, candidates) for reason in _reasons(each)]


def _reasons(each: Candidate) -> list[Reason]:
    path = redaction.redact(each.path)
    if why := _by_name(each) or _by_size(each):
        return [Reason(each, f"{path}, because {why}", "Ignore it or move it.")]
    mark = _MARK_OUTPUT if path.endswith(".ipynb") else _MARK
    return [
        Reason(each, f"{path}, line {found.line} looks like a secret ({found.kind})", mark)
        for found in scanning.find(each.path, each.content or b"")
    ]


def _by_name(each: Candidate) -> str:
    if why := by_name(each.path):
        return why
    if kind := scanning.in_name(each.path):
        return f"its name looks like a secret ({kind})"
    if each.link and (why := by_name(each.link)):
        return f"it is a link, and where it leads {why.removeprefix('it ')}"
    return ""


def by_name(path: str) -> str:
    """Why a file is one of accounts and keys, by its name; empty where it is none."""
    place = PurePosixPath(path)
    if _ACCOUNTS.fullmatch(place.name) and place.name not in _OPEN:
        return "it holds accounts and keys"
    if place.name in _KEYS or place.parts[-2:] == (".aws", "credentials"):
        return "it is the place for keys that stay on this machine"
    return ""


def _by_size(each: Candidate) -> str:
    if each.size <= MAX_BYTES:
        return ""
    return f"it has {megabytes(each.size)}, and data belongs to DVC (`dvc add`)"
