"""The one strict reader and writer of records: JSON Lines and JSON for frozen dataclasses.

A record's type hints are its format: every key has to be there, no other may be, and each value has
to be of its type. A key is the name of a field, but for the `_` behind a word of Python. A
NamedTuple is an object with its fields' names, a frozenset an ascending array. A decoder is built
once a type, so that a hundred thousand records are read in seconds.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from backtracking.records.decoding import (
    Decode,
    Mismatch,
    decoder_of,
    inlined_in,
    key_of,
    keys_in,
    names_of,
    sequence_of,
)
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

T = TypeVar("T")

_CURE = "Make the file again, or convert it: docs/artifacts.md has the format."


def read_lines(cls: type[T], path: Path, cure: str = _CURE) -> list[T]:
    """All records of a JSON Lines file.

    Args:
        cls: dataclass of a record.
        path: the file.
        cure: what to do about a broken record.

    Raises:
        UserError: where the file is missing; naming file, line and key of a record that is broken,
            or has a key too many, too few or of another type.
    """
    decode = decoder_of(cls)
    return [
        _told(decode, row, f"{path}, line {number}", cure)
        for number, row in enumerate(artifacts.read_jsonl(path), start=1)
    ]


def pass_lines(cls: type[T], path: Path, cure: str = _CURE) -> Iterator[T]:
    """The records of a JSON Lines file one by one; keys that they do not have are not looked at.

    Args:
        cls, path, cure: as in `read_lines`.

    Raises:
        UserError: as `read_lines`, but for keys too many.
    """
    decode, keys = decoder_of(cls), keys_in(cls)
    for number, row in enumerate(artifacts.read_jsonl(path, cure), start=1):
        own = {key: row[key] for key in keys if key in row}
        yield _told(decode, own, f"{path}, line {number}", cure)


def write_lines(path: Path, records: Iterable[Any]) -> None:
    """Writes records as JSON Lines, keys sorted."""
    artifacts.write_jsonl(path, (encode(record) for record in records))


def read_json(cls: type[T], path: Path, cure: str = _CURE) -> T:
    """The record of a JSON file.

    Raises:
        UserError: as `read_lines`.
    """
    return _told(decoder_of(cls), artifacts.read_json(path), str(path), cure)


def read_list(cls: type[T], path: Path, cure: str = _CURE) -> list[T]:
    """The records of a JSON file that is a list of them.

    Raises:
        UserError: as `read_lines`.
    """
    return decode_list(cls, artifacts.read_json(path), str(path), cure)


def write_json(path: Path, record: Any) -> None:
    """Writes a record as JSON, keys sorted."""
    artifacts.write_json(path, encode(record))


def decode(cls: type[T], value: Any, where: str, cure: str = _CURE) -> T:
    """A value of JSON as a record.

    Args:
        cls: dataclass of the record.
        value: as `json.loads` gives it.
        where: what the value is, for the message.
        cure: what to do about another one.

    Raises:
        UserError: as `read_lines`.
    """
    return _told(decoder_of(cls), value, where, cure)


def decode_list(cls: type[T], value: Any, where: str, cure: str = _CURE) -> list[T]:
    """A value of JSON as a list of records; arguments and raises as of `decode`."""
    return _told(sequence_of(list, cls), value, where, cure)


def encode(value: Any) -> Any:
    """A record as a value of JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _keys_of(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: encode(getattr(value, name)) for name in type(value)._fields}  # type: ignore[attr-defined]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) <= {int, str, float, bool, type(None)}:
            return list(value)
        return [encode(one) for one in value]
    if isinstance(value, Mapping):
        return {key: encode(one) for key, one in value.items()}
    return value


def _keys_of(record: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names_of(type(record)):
        one = encode(getattr(record, name))
        found |= one if name in inlined_in(type(record)) else {key_of(name): one}
    return found


def _told(decode: Decode, value: Any, where: str, cure: str) -> Any:
    try:
        return decode(value)
    except Mismatch as error:
        path = "".join(reversed(error.keys)).removeprefix(".")
        key = f", key `{path}`" if path else ""
        raise UserError(
            f"{where}{key}: expected {error.expected}, found {error.found}.", cure
        ) from None
