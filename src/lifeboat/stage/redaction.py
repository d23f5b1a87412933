"""What a secret looks like, and text without any, for what leaves this machine or goes to git."""

import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_SECRET_NAME = (
    r"(?:token|secret|passw(?:or)?d|passphrase|credential|api_?key|access_?key|private_?key)"
)

TOKENS = {
    "Hugging Face token": re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}\b"),
    "Weights & Biases key": re.compile(
        r"\bwandb_v\d+_[A-Za-z0-9_]{20,}|(?i:wandb[a-z_]*key\W{1,4})\b[0-9a-f]{40}\b"
    ),
    "AWS access key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "GitHub token": re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{22,})\b"),
    "API key": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "URL with a password": re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"),
}

PREFIXED = {
    **{k: v for k, v in TOKENS.items() if k not in ("URL with a password",)},
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"),
    "Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b"),
}
"""Kinds that are known by how they begin, wherever they stand, also between binary bytes."""

KINDS = {
    **PREFIXED,
    "URL with a password": TOKENS["URL with a password"],
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

_NAME = re.compile(rf"(?i){_SECRET_NAME}(?:_id)?$")
_VARIABLE = re.compile(
    r"(?m)(\b[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|[A-Z]_KEY|API_?KEY)(?:_ID)?[\"']?"
    r"[ \t]*[=:][ \t]*)([\"']?)[^\s\"']+"
)
_LITERAL = re.compile(
    rf"(?i)(\b\w*{_SECRET_NAME}(?:_id)?[\"']?[ \t]*[=:][ \t]*)"
    r"([\"'])(?=[^\"']*\d)[^\s\"']{12,}"
)


def is_secret_name(name: str) -> bool:
    """Whether a value of this name is to be hidden: yes for HF_TOKEN, no for max_tokens."""
    return bool(_NAME.search(name))


def redact(text: str, known: Mapping[str, str] | None = None) -> str:
    """`text` with tokens, values assigned to secret names and `known` values blotted out.

    Args:
        text: any text, such as a diff.
        known: variables whose values are blotted out where the name is a secret's; the
            environment when not given.
    """
    for value in secret_values(os.environ if known is None else known):
        text = text.replace(value, REDACTED)
    for pattern in TOKENS.values():
        text = pattern.sub(REDACTED, text)
    for pattern in (_VARIABLE, _LITERAL):
        text = pattern.sub(rf"\g<1>\g<2>{REDACTED}", text)
    return text


def redact_values(value: Any, name: str = "") -> Any:
    """A configuration with its secrets blotted out, by key and by look, at any depth."""
    if isinstance(value, dict):
        return {key: redact_values(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(item, name) for item in value]
    if isinstance(value, str) and value:
        return REDACTED if is_secret_name(name) else redact(value)
    return value


def secret_values(variables: Mapping[str, str]) -> list[str]:
    """Values that must never be written down, the longest first; too short ones are left alone."""
    values = {value for name, value in variables.items() if is_secret_name(name)}
    return sorted((value for value in values if len(value) >= 8), key=len, reverse=True)


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
