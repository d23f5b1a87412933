"""What must not go into git: by its name, its size or its content."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifeboat.git.blobs import Candidate
from lifeboat.items import megabytes
from lifeboat.secrets import redaction, scanning

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


def in_tree(root: Path, paths: list[str]) -> list[Candidate]:
    """The files of the working tree under these paths; what is gone by now is left out."""
    return [found for path in paths if (found := _in_tree(root, path))]


def reasons(candidates: list[Candidate]) -> list[Reason]:
    """Why files must not go into git, for each that must not."""
    found = [
        Reason(each, f"{redaction.redact(each.path)}, because {why}", "Ignore it or move it.")
        for each in candidates
        if (why := _by_name(each) or _by_size(each))
    ]
    named = {reason.file for reason in found}
    by_content = {each.content: each for each in candidates if each.content and each not in named}
    for finding in scanning.find(list(by_content)):
        each = by_content[finding.path]
        where = f"{redaction.redact(each.path)}, line {finding.line}"
        found.append(Reason(each, f"{where} looks like a secret ({finding.kind})", _MARK))
    return found


def _in_tree(root: Path, path: str) -> Candidate | None:
    """One file; None where there is none: a running stage may just have renamed it."""
    file = root / path
    try:
        if file.is_symlink():
            return Candidate(path, file.lstat().st_size, None, str(file.readlink()))
        if not file.is_file():
            return None
        size = file.stat().st_size
    except OSError:
        return None
    return Candidate(path, size, file if size <= MAX_BYTES else None)


def _by_name(each: Candidate) -> str:
    if why := _name(each.path):
        return why
    if kind := scanning.in_name(each.path):
        return f"its name looks like a secret ({kind})"
    if each.link and (why := _name(each.link)):
        return f"it is a link, and where it leads {why.removeprefix('it ')}"
    return ""


def _name(path: str) -> str:
    place = PurePosixPath(path)
    if _ACCOUNTS.fullmatch(place.name) and place.name not in _OPEN:
        return "it holds accounts and keys"
    if place.name in _KEYS or place.parts[-2:] == (".aws", "credentials"):
        return "it is the place for keys that stay on this machine"
    return ""


def _by_size(each: Candidate) -> str:
    if each.bytes <= MAX_BYTES:
        return ""
    return f"it has {megabytes(each.bytes)}, and data belongs to DVC (`dvc add`)"
