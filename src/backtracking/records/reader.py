"""The one strict reader and writer of records: JSON Lines and JSON for frozen dataclasses.

A record's type hints are its format: every key has to be there, no other may be, and each value has
to be of its type. A key is the name of a field, but for the `_` behind a word of Python. A
NamedTuple is an object with its fields' names, a frozenset an ascending array. A decoder is built
once a type, so that a hundred thousand records are read in seconds.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

T = TypeVar("T")

_CURE = "Make the file again, or convert it: docs/artifacts.md has the format."
_MAY_BE_ABSENT = "may be absent"
INLINED = {"inlined": True}
"""Metadata of a field that is a record whose keys stand beside those of the record that has it."""


def may_be_absent(default: Any = None) -> Any:
    """A field whose key may be left out of a file, which people write by hand; None by default."""
    return dataclasses.field(default=default, metadata={_MAY_BE_ABSENT: True})


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
    decode = _decoder(cls)
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
    decode, keys = _decoder(cls), _keys(cls)
    for number, row in enumerate(artifacts.read_jsonl(path), start=1):
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
    return _told(_decoder(cls), artifacts.read_json(path), str(path), cure)


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
    return _told(_decoder(cls), value, where, cure)


def decode_list(cls: type[T], value: Any, where: str, cure: str = _CURE) -> list[T]:
    """A value of JSON as a list of records; arguments and raises as of `decode`."""
    return _told(_sequence(list, cls), value, where, cure)


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
    for name in _names(type(record)):
        one = encode(getattr(record, name))
        found |= one if name in _inlined(type(record)) else {_key(name): one}
    return found


class _Mismatch(Exception):
    """A value that is not of its type; `keys` lead to it, the innermost first."""

    def __init__(self, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        self.keys: list[str] = []


_Decode = Callable[[Any], Any]


def _told(decode: _Decode, value: Any, where: str, cure: str) -> Any:
    try:
        return decode(value)
    except _Mismatch as error:
        path = "".join(reversed(error.keys)).removeprefix(".")
        key = f", key `{path}`" if path else ""
        raise UserError(
            f"{where}{key}: expected {error.expected}, found {error.found}.", cure
        ) from None


@functools.cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.init)


def _key(name: str) -> str:
    return name.removesuffix("_")


@functools.cache
def _inlined(cls: type) -> frozenset[str]:
    """Names of the fields of a dataclass whose keys stand beside its own."""
    return frozenset(field.name for field in dataclasses.fields(cls) if field.metadata == INLINED)


@functools.cache
def _decoder(hint: Any) -> _Decode:
    if dataclasses.is_dataclass(hint):
        fields = [field for field in dataclasses.fields(hint) if field.init]
        lacking = {field.name for field in fields if field.metadata.get(_MAY_BE_ABSENT)}
        decode = _object(hint, [field.name for field in fields], lacking)
        return _gathering(hint, decode) if _inlined(hint) else decode
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _object(hint, list(hint._fields), set())  # type: ignore[attr-defined]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return lambda value: value
    if hint is float:
        return _float
    if hint in (int, str, bool):
        return functools.partial(_exact, hint)
    if origin is typing.Literal:
        return functools.partial(_literal, frozenset(arguments), arguments)
    if origin in (typing.Union, types.UnionType) and _is_optional(arguments):
        return _optional(arguments)
    return _container(hint, origin, arguments)


def _container(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> _Decode:
    if origin is tuple and arguments[-1] is not Ellipsis:
        return functools.partial(_fixed, [_decoder(one) for one in arguments])
    if origin in (list, tuple, frozenset):
        return _sequence(origin, arguments[0])
    if origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
        return _mapping(arguments[1])
    raise TypeError(f"{hint} is no type that a record's field may have.")


def _object(cls: Any, names: list[str], lacking: set[str]) -> _Decode:
    """Of a dataclass or a NamedTuple."""
    hints = typing.get_type_hints(cls)
    decoders = [(_key(name), name, _decoder(hints[name])) for name in names]
    known, needed = frozenset(map(_key, names)), frozenset(map(_key, {*names} - lacking))

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch(f"an object with the keys {sorted(known)}", _describe(value))
        if value.keys() != known:
            _require_keys(value.keys(), known, needed)
        found = {}
        for key, name, of_field in decoders:
            if key in value:
                try:
                    found[name] = of_field(value[key])
                except _Mismatch as error:
                    error.keys.append(f".{key}")
                    raise
        try:
            return cls(**found)
        except ValueError as error:
            raise _Mismatch(f"a {cls.__name__}", f"one that it refuses: {error}") from None

    return decode


def _gathering(cls: Any, decode: _Decode) -> _Decode:
    """Of a dataclass with inlined fields, whose keys it brings together first."""
    hints = typing.get_type_hints(cls)
    keys_by_field = {name: _keys(hints[name]) for name in _inlined(cls)}

    def gather(value: Any) -> Any:
        if type(value) is not dict:
            raise _Mismatch("an object", _describe(value))
        rest = dict(value)
        for name, keys in keys_by_field.items():
            rest[name] = {key: rest.pop(key) for key in keys if key in rest}
        return decode(rest)

    return gather


def _keys(cls: type) -> list[str]:
    """Keys of a dataclass's object, those of its inlined fields among them."""
    hints, inlined = typing.get_type_hints(cls), _inlined(cls)
    return [
        key
        for name in _names(cls)
        for key in (_keys(hints[name]) if name in inlined else [_key(name)])
    ]


def _require_keys(keys: Iterable[str], known: frozenset[str], needed: frozenset[str]) -> None:
    unknown, missing = sorted(set(keys) - known), sorted(needed - set(keys))
    if unknown or missing:
        told = [f"{', '.join(unknown)} too many"] if unknown else []
        told += [f"{', '.join(missing)} missing"] if missing else []
        raise _Mismatch(f"the keys {sorted(known)}", "; ".join(told))


def _exact(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise _Mismatch(cls.__name__, _describe(value))
    return value


def _float(value: Any) -> float:
    if type(value) is int:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise _Mismatch("a finite float", _describe(value))
    return value


def _literal(allowed: frozenset[Any], order: tuple[Any, ...], value: Any) -> Any:
    if type(value) not in (str, int, bool) or value not in allowed:
        raise _Mismatch(f"one of {list(order)}", _describe(value))
    return value


def _is_optional(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 2 and type(None) in arguments


def _optional(arguments: tuple[Any, ...]) -> _Decode:
    (inner,) = (one for one in arguments if one is not type(None))
    decoder = _decoder(inner)

    def decode(value: Any) -> Any:
        if value is None:
            return None
        try:
            return decoder(value)
        except _Mismatch as error:
            if not error.keys:
                error.expected += " or null"
            raise

    return decode


def _fixed(decoders: list[_Decode], value: Any) -> tuple[Any, ...]:
    if type(value) is not list or len(value) != len(decoders):
        raise _Mismatch(f"{len(decoders)} values", _describe(value))
    return tuple(_at(of_one, number, value[number]) for number, of_one in enumerate(decoders))


def _sequence(origin: Any, hint: Any) -> _Decode:
    decoder = _decoder(hint)
    plain = {hint} if hint in (int, str, bool) else set()

    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise _Mismatch(f"a list of {_name(hint)}", _describe(value))
        if set(map(type, value)) <= plain:
            found = value
        else:
            found = [_at(decoder, number, one) for number, one in enumerate(value)]
        made = found if origin is list else origin(found)
        if len(made) != len(value):
            raise _Mismatch("values that differ", _describe(value))
        return made

    return decode


def _mapping(hint: Any) -> _Decode:
    decoder = _decoder(hint)

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _Mismatch(f"an object of {_name(hint)}", _describe(value))
        return {key: _under(decoder, key, one) for key, one in value.items()}

    return decode


def _at(decoder: _Decode, number: int, value: Any) -> Any:
    try:
        return decoder(value)
    except _Mismatch as error:
        error.keys.append(f"[{number}]")
        raise


def _under(decoder: _Decode, key: str, value: Any) -> Any:
    try:
        return decoder(value)
    except _Mismatch as error:
        error.keys.append(f".{key}")
        raise


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
