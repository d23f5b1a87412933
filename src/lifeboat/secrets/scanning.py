"""The scanner in front of every commit of ours: detect-secrets, and the tokens of this field.

A line that only looks like a secret is let through by `# pragma: allowlist secret` at its end.
"""

import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifeboat.secrets import redaction, texts, tokens
from lifeboat.secrets.texts import Text

_PLUGINS = [
    {"name": "ArtifactoryDetector"},
    {"name": "AWSKeyDetector"},
    {"name": "AzureStorageKeyDetector"},
    {"name": "BasicAuthDetector"},
    {"name": "GitHubTokenDetector"},
    {"name": "GitLabTokenDetector"},
    {"name": "JwtTokenDetector"},
    {"name": "KeywordDetector"},
    {"name": "NpmDetector"},
    {"name": "OpenAIDetector"},
    {"name": "PypiTokenDetector"},
    {"name": "SlackDetector"},
    {"name": "Base64HighEntropyString", "limit": 4.5},
    {"name": "HexHighEntropyString", "limit": 3.0},
]
_DIGEST = re.compile(r"(?i)sha\d*|md5|hash|digest|commit|revision|fingerprint")
_ALLOWED = re.compile(r"pragma:\s*allowlist secret")

_ONE_AT_A_TIME = threading.Lock()
"""detect-secrets has its settings once a process: a second scan beside one takes them away."""


@dataclass(frozen=True)
class Finding:
    """A place that looks like a secret; the secret itself is not kept.

    Attributes:
        path: file, as it was given.
        line: line number from 1; of a binary file always 1.
        kind: what it looks like.
    """

    path: Path
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.kind}"


def find(paths: list[Path]) -> list[Finding]:
    """Places in files that look like secrets; nothing is sent anywhere to find out.

    UTF-16 is read as text, a notebook also without JSON's escapes, and of a binary file only what
    begins as a known token does is looked for. A hexadecimal string on a line that speaks of a
    hash, a digest or a commit is taken for one.
    """
    found: set[Finding] = set()
    with tempfile.TemporaryDirectory() as folder:
        sources: dict[Path, tuple[Path, Text]] = {}
        for path in paths:
            for text in texts.read(path):
                found.update(_known(path, text))
                if text.is_text:
                    copy = Path(folder) / str(len(sources)) / path.name
                    sources[path if text.is_file else _copied(text, copy)] = (path, text)
        for seen, _value in _detect(list(sources)):
            path, text = sources[seen.path]
            line = text.numbers[min(seen.line, len(text.numbers)) - 1]
            found.add(Finding(path, line, seen.kind))
    return sorted(found, key=lambda finding: (str(finding.path), finding.line, finding.kind))


def in_name(path: str) -> str:
    """What a path's own name gives away, empty where it is no secret."""
    return next((kind for kind, pattern in tokens.PREFIXED.items() if pattern.search(path)), "")


def in_line(text: str) -> str:
    """What a message gives away, empty where it is no secret."""
    found = [kind for kind, pattern in tokens.KINDS.items() if pattern.search(text)]
    return found[0] if found else "value of a secret's name" if tokens.assigned(text) else ""


def blot_out(text: str) -> str:
    """`text` without anything that `find` or `redaction.redact` takes for a secret."""
    text = redaction.redact(tokens.PRIVATE_KEY.sub(redaction.REDACTED, text))
    for pattern in tokens.KINDS.values():
        text = pattern.sub(redaction.REDACTED, text)
    values = {value for line in text.splitlines() for value in tokens.assigned(line)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text)
        values |= {value for _finding, value in _detect([path])}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, redaction.REDACTED)
    return text


def _copied(text: Text, path: Path) -> Path:
    """A file with a text's lines, in which a notebook's cells are Python."""
    path = path.with_suffix(".py") if path.suffix == ".ipynb" else path
    path.parent.mkdir()
    path.write_text("\n".join(text.lines))
    return path


def _known(path: Path, text: Text) -> Iterator[Finding]:
    kinds = tokens.KINDS if text.is_text else tokens.PREFIXED
    for line, number in zip(text.lines, text.numbers, strict=True):
        if _ALLOWED.search(line):
            continue
        for kind, pattern in kinds.items():
            if pattern.search(line):
                yield Finding(path, number, kind)
        if text.is_text and tokens.assigned(line):
            yield Finding(path, number, "value of a secret's name")


def _detect(paths: list[Path]) -> list[tuple[Finding, str]]:
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import transient_settings

    with _ONE_AT_A_TIME, transient_settings({"plugins_used": _PLUGINS}):
        collection = SecretsCollection()
        for path in paths:
            collection.scan_file(str(path))
    return [
        (Finding(Path(name), secret.line_number, secret.type), secret.secret_value or "")
        for name, secret in collection
        if secret.secret_value != redaction.REDACTED
        and not (secret.type == "Hex High Entropy String" and _is_digest(name, secret.line_number))
    ]


def _is_digest(name: str, line_number: int) -> bool:
    lines = Path(name).read_text(errors="replace").splitlines()
    return 0 < line_number <= len(lines) and bool(_DIGEST.search(lines[line_number - 1]))
