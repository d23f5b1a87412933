"""The scanner in front of every commit of ours: detect-secrets, and the tokens of this field.

A line that only looks like a secret is let through by `# pragma: allowlist secret` at its end.
"""

import codecs
import contextlib
import json
import re
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lifeboat.stage import redaction

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
_IDS = re.compile(r"revs?|etags?|ids?|oids?|u?uid|runs?|checksum|refs?|tree|blob|head")
_NOT_IDS = re.compile(r"keys?|token|secret|pass(?:word|wd|phrase)|auth|login|bearer")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ENTROPY = ("Hex High Entropy String", "Base64 High Entropy String")
_ALLOWED = re.compile(r"pragma:\s*allowlist secret")
_PICTURE = re.compile(r'"image/[\w.+-]+":\s*"[^"]*"')
_READABLE = re.compile(rb"[\x20-\x7e]{8,}")

_ONE_AT_A_TIME = threading.Lock()
"""detect-secrets has its settings once a process: a second scan beside one takes them away."""


@dataclass(frozen=True, order=True)
class Finding:
    """A place that looks like a secret; the secret itself is not kept.

    Attributes:
        line: line number from 1; of a binary file always 1.
        kind: what it looks like.
    """

    line: int
    kind: str


def find(name: str, data: bytes) -> list[Finding]:
    """Places in a file that look like secrets; nothing is sent anywhere to find out.

    UTF-16 is read as text, a notebook without its pictures and the escapes before its quotes, and
    of a binary file only what begins as a known token does is looked for. A hexadecimal string on a
    line that speaks of a hash, a digest, a commit or an id is taken for one. What a notebook's cell
    puts out is read with its source, whose `pragma` counts for both.
    """
    text = _text(data)
    if text is None:
        parts = {*_READABLE.findall(data), *_READABLE.findall(data.replace(b"\0", b""))}
        kinds = {kind for part in parts for kind in _known(part.decode(), redaction.PREFIXED)}
        return [Finding(1, kind) for kind in sorted(kinds)]
    path, known = Path(name), set[str]()
    if path.suffix == ".ipynb":
        known = _known_outputs(text)
        path, text = path.with_suffix(".py"), _PICTURE.sub("", text).replace('\\"', '"')
    lines = text.splitlines()
    found = {
        finding
        for finding, value in _detect(path.name, lines)
        if finding.kind not in _ENTROPY or value not in known
    }
    for number, line in enumerate(lines, 1):
        found |= {Finding(number, kind) for kind in _known(line, redaction.KINDS)}
        if redaction.assigned(line) and not _ALLOWED.search(line):
            found.add(Finding(number, "value of a secret's name"))
    return sorted(found)


def in_name(path: str) -> str:
    """What a path's own name gives away, empty where it is no secret."""
    return next((kind for kind, pattern in redaction.PREFIXED.items() if pattern.search(path)), "")


def in_line(text: str) -> str:
    """What a message gives away, empty where it is no secret."""
    found = [kind for kind, pattern in redaction.KINDS.items() if pattern.search(text)]
    return found[0] if found else "value of a secret's name" if redaction.assigned(text) else ""


def blot_out(text: str) -> str:
    """`text` without anything that `find` or `redaction.redact` takes for a secret."""
    text = redaction.redact(redaction.PRIVATE_KEY.sub(redaction.REDACTED, text))
    for pattern in redaction.KINDS.values():
        text = pattern.sub(redaction.REDACTED, text)
    lines = text.splitlines()
    values = {value for line in lines for value in redaction.assigned(line)}
    values |= {value for _finding, value in _detect("text.txt", lines)}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, redaction.REDACTED)
    return text


def _text(data: bytes) -> str | None:
    """The text of a file's bytes, None for a binary file.

    Letters of UTF-16 without a mark are told by the zeros between them, which are left out.
    """
    is_marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_marked else "utf-8-sig", "replace").replace("\0", "")
    return None if text.count("\ufffd") * 20 > len(text) else text


def _known_outputs(text: str) -> set[str]:
    """What cells of a notebook put out whose source says that it is an id, or no secret."""
    found: set[str] = set()
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
        for cell in json.loads(text)["cells"]:
            source, outputs = "".join(cell["source"]), json.dumps(cell.get("outputs", []))
            if _ALLOWED.search(source):
                found |= set(re.findall(r"[\w+/=-]{16,}", outputs))
            elif _is_of_ids(source):
                found |= set(re.findall(r"\b[0-9a-f]{32,}\b", outputs))
    return found


def _is_of_ids(line: str) -> bool:
    """Whether what is hexadecimal on a line is a hash or an id by the words beside it."""
    words = [word.lower() for word in _WORDS.findall(line)]
    is_named = any(map(_IDS.fullmatch, words)) and not any(map(_NOT_IDS.fullmatch, words))
    return is_named or bool(_DIGEST.search(line))


def _known(line: str, kinds: dict[str, re.Pattern[str]]) -> Iterator[str]:
    if not _ALLOWED.search(line):
        yield from (kind for kind, pattern in kinds.items() if pattern.search(line))


def _detect(name: str, lines: list[str]) -> list[tuple[Finding, str]]:
    """What detect-secrets finds in lines, by the kind of file that the name tells."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    with tempfile.TemporaryDirectory() as folder, _ONE_AT_A_TIME:
        (path := Path(folder) / name).write_text("\n".join(lines))
        with transient_settings({"plugins_used": _PLUGINS}):
            secrets = list(scan_file(str(path)))
    return [
        (Finding(secret.line_number, secret.type), secret.secret_value or "")
        for secret in secrets
        if secret.secret_value != redaction.REDACTED
        and not (
            secret.type == _ENTROPY[0]
            and _is_of_ids(lines[min(secret.line_number, len(lines)) - 1])
        )
    ]
