"""What a secret looks like, beyond what `redaction` hides: patterns for text that goes into git."""

import math
import re
from collections import Counter

from lifeboat.secrets import redaction

PREFIXED = {
    **{k: v for k, v in redaction.TOKENS.items() if k not in ("URL with a password",)},
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"),
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
}
"""Kinds that are known by how they begin, wherever they stand, also between binary bytes."""

KINDS = {
    **PREFIXED,
    "URL with a password": redaction.TOKENS["URL with a password"],
    "Bearer token": re.compile(r"(?i)\bbearer\s+(?=[^\s\"']*\d)[A-Za-z0-9._~+/-]{20,}=*"),
    "netrc password": re.compile(r"(?i)\blogin\s+\S+\s+password\s+(?=\S*\d)[^\s{$<]\S{7,}"),
}
"""Kinds that are looked for in text, in every line of every file."""

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:[^-]|-(?!----))*-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:\\[nr]|[\s+/=A-Za-z0-9])*)"
)
"""A private key with its body: to its end, or where that is cut off, as far as it may reach."""

_ASSIGNED = re.compile(
    r"(?i)(?:token|secret|passw(?:or)?d|passphrase|credential|_key|apikey|accesskey)(?:_id)?"
    r"[\\\"'`\]]*\s*(?::=|=>|[=:])\s*[\\\"'`]*([A-Za-z0-9+/_~.=-]{16,})"
)
_HEXADECIMAL = re.compile(r"[0-9a-f]{32,}|[0-9A-F]{32,}")
_LEAST_ENTROPY = 3.5


def assigned(line: str) -> list[str]:
    """Values that are given to a secret's name in a line, with or without quotes.

    A word or a name of a program is none: the value is hexadecimal and long, or has capital and
    small letters and digits, and as much variety as chance would give it.
    """
    return [value for value in _ASSIGNED.findall(line) if _is_random(value)]


def _is_random(value: str) -> bool:
    if _HEXADECIMAL.fullmatch(value):
        return len(set(value)) > 4
    kinds = (str.isupper, str.islower, str.isdigit)
    mixed = all(any(kind(letter) for letter in value) for kind in kinds)
    return mixed and _entropy(value) >= _LEAST_ENTROPY


def _entropy(value: str) -> float:
    """Shannon entropy of the letters, in bits a letter."""
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares)
