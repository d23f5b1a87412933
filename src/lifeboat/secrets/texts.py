"""Files as text for a scanner: UTF-8, UTF-16, the cells of a notebook, what is left of binaries."""

import codecs
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_READABLE = re.compile(rb"[\x20-\x7e]{8,}")


@dataclass(frozen=True)
class Text:
    """Lines of a file, as a scanner is to see them.

    Attributes:
        lines: the lines.
        numbers: number in the file of each of them, from 1.
        is_text: false for what is left of a binary file.
        is_file: whether the lines are the file's own bytes, so that the file itself can be read.
    """

    lines: list[str]
    numbers: list[int]
    is_text: bool = True
    is_file: bool = False


def read(path: Path) -> list[Text]:
    """What is to be read of a file; nothing where it cannot be opened."""
    try:
        data = path.read_bytes()
    except OSError:
        return []
    text = decoded(data)
    if text is None:
        return [_strings(data)]
    is_file = not data.startswith(tuple(_MARKS)) and b"\0" not in data
    lines = text.splitlines()
    own = Text(lines, list(range(1, len(lines) + 1)), is_file=is_file)
    return [own, *_cells(text, lines)] if path.suffix == ".ipynb" else [own]


def decoded(data: bytes) -> str | None:
    """The text of a file's bytes, None for a binary file."""
    mark = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    guesses = [_MARKS[mark]] if mark else ["utf-8"]
    if not mark and b"\0" in data:
        # Latin text in UTF-16 has a zero in every second place.
        guesses = ["utf-16-le"] if data[1::2].count(0) > data[::2].count(0) else ["utf-16-be"]
        if data.count(0) * 3 < len(data):
            return None
    for guess in guesses:
        try:
            text = data.decode(guess)
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


def _strings(data: bytes) -> Text:
    """The readable stretches of a binary file, also those with a zero after each letter."""
    found = [part for each in (data, data.replace(b"\0", b"")) for part in _READABLE.findall(each)]
    lines = [part.decode("ascii") for part in dict.fromkeys(found)]
    return Text(lines, [1] * len(lines), is_text=False)


def _cells(text: str, lines: list[str]) -> list[Text]:
    """The sources and outputs of a notebook without JSON's escapes, at the lines of the file."""
    try:
        notebook = json.loads(text)
    except ValueError:
        return []
    wanted = [line for value in _values(notebook) for line in value.splitlines()]
    numbers: list[int] = []
    at = 0
    for line in wanted:
        escaped = (json.dumps(line)[1:-1], json.dumps(line, ensure_ascii=False)[1:-1])
        places = range(at, len(lines))
        at = next((n for n in places if any(each in lines[n] for each in escaped)), at)
        numbers.append(at + 1)
    return [Text(wanted, numbers)]


def _values(value: Any) -> list[str]:
    """Every piece of text in a notebook but pictures."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        if all(isinstance(each, str) for each in value):
            return ["".join(value)]
        return [text for each in value for text in _values(each)]
    if isinstance(value, dict):
        return [
            text
            for key, each in value.items()
            if not str(key).startswith("image/")
            for text in _values(each)
        ]
    return []
