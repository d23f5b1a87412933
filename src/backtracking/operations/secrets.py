"""The scanner in front of every commit of ours: detect-secrets, and the tokens of this field.

A line that only looks like a secret is let through by `# pragma: allowlist secret` at its end.
"""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backtracking.operations import redaction

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
    {"name": "PrivateKeyDetector"},
    {"name": "PypiTokenDetector"},
    {"name": "SlackDetector"},
    {"name": "Base64HighEntropyString", "limit": 4.5},
    {"name": "HexHighEntropyString", "limit": 3.0},
]
_DIGEST = re.compile(r"(?i)sha\d*|md5|hash|digest|commit|revision|fingerprint")
_ALLOWED = re.compile(r"pragma:\s*allowlist secret")


@dataclass(frozen=True)
class Finding:
    """A place that looks like a secret; the secret itself is not kept.

    Attributes:
        path: file, as it was given.
        line: line number from 1.
        kind: what it looks like.
    """

    path: Path
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.kind}"


def find(paths: list[Path]) -> list[Finding]:
    """Places in text files that look like secrets; nothing is sent anywhere to find out.

    A hexadecimal string on a line that speaks of a hash, a digest or a commit is taken for one.
    """
    found = [finding for path in paths for finding in _known_tokens(path)]
    found += [finding for finding, _value in _detect(paths)]
    return sorted(set(found), key=lambda finding: (str(finding.path), finding.line, finding.kind))


def blot_out(text: str) -> str:
    """`text` without anything that `find` or `redaction.redact` takes for a secret."""
    text = redaction.redact(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text)
        values = {value for _finding, value in _detect([path])}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, redaction.REDACTED)
    return text


def _detect(paths: list[Path]) -> list[tuple[Finding, str]]:
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import transient_settings

    with transient_settings({"plugins_used": _PLUGINS}):
        collection = SecretsCollection()
        for path in paths:
            collection.scan_file(str(path))
    return [
        (Finding(Path(name), secret.line_number, secret.type), secret.secret_value or "")
        for name, secret in collection
        if secret.secret_value != redaction.REDACTED
        and not (secret.type == "Hex High Entropy String" and _is_digest(name, secret.line_number))
    ]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (UnicodeDecodeError, OSError):
        return []


def _known_tokens(path: Path) -> list[Finding]:
    return [
        Finding(path, number, kind)
        for number, line in enumerate(_lines(path), start=1)
        for kind, pattern in redaction.TOKENS.items()
        if pattern.search(line) and not _ALLOWED.search(line)
    ]


def _is_digest(name: str, line_number: int) -> bool:
    lines = _lines(Path(name))
    return 0 < line_number <= len(lines) and bool(_DIGEST.search(lines[line_number - 1]))
