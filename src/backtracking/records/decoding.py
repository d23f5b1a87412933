"""How a value of JSON becomes a record: the type hints of a frozen dataclass are its format.

A decoder is built once a type, so that a hundred thousand records are read in seconds.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAY_BE_ABSENT = "may be absent"
INLINED = {"inlined": True}
"""Metadata of a field that is a record whose keys stand beside those of the record that has it."""


def may_be_absent(default: Any = None) -> Any:
    """A field whose key may be left out of a file, which people write by hand; None by default."""
    return dataclasses.field(default=default, metadata={MAY_BE_ABSENT: True})


class Mismatch(Exception):
    """A value that is not of its type; `keys` lead to it, the innermost first."""

    def __init__(self, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        self.keys: list[str] = []


Decode = Callable[[Any], Any]


@functools.cache
def names_of(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls) if field.init)


def key_of(name: str) -> str:
    """The key of a field."""
    return name.removesuffix("_")


@functools.cache
def inlined_in(cls: type) -> frozenset[str]:
    """Names of the fields of a dataclass whose keys stand beside its own."""
    return frozenset(field.name for field in dataclasses.fields(cls) if field.metadata == INLINED)


@functools.cache
def decoder_of(hint: Any) -> Decode:
    """What makes a value of a type of a value of JSON.

    Raises:
        TypeError: where no record's field may be of the type.
    """
    if dataclasses.is_dataclass(hint):
        fields = [field for field in dataclasses.fields(hint) if field.init]
        lacking = {field.name for field in fields if field.metadata.get(MAY_BE_ABSENT)}
        decode = _object(hint, [field.name for field in fields], lacking)
        return _gathering(hint, decode) if inlined_in(hint) else decode
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


def _container(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Decode:
    if origin is tuple and arguments[-1] is not Ellipsis:
        return functools.partial(_fixed, [decoder_of(one) for one in arguments])
    if origin in (list, tuple, frozenset):
        return sequence_of(origin, arguments[0])
    if origin is not None and issubclass(origin, Mapping) and arguments[0] is str:
        return _mapping(arguments[1])
    raise TypeError(f"{hint} is no type that a record's field may have.")


def _object(cls: Any, names: list[str], lacking: set[str]) -> Decode:
    """Of a dataclass or a NamedTuple."""
    hints = typing.get_type_hints(cls)
    decoders = [(key_of(name), name, decoder_of(hints[name])) for name in names]
    known, needed = frozenset(map(key_of, names)), frozenset(map(key_of, {*names} - lacking))

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch(f"an object with the keys {sorted(known)}", _describe(value))
        if value.keys() != known:
            _require_keys(value.keys(), known, needed)
        found = {}
        for key, name, of_field in decoders:
            if key in value:
                try:
                    found[name] = of_field(value[key])
                except Mismatch as error:
                    error.keys.append(f".{key}")
                    raise
        try:
            return cls(**found)
        except ValueError as error:
            raise Mismatch(f"a {cls.__name__}", f"one that it refuses: {error}") from None

    return decode


def _gathering(cls: Any, decode: Decode) -> Decode:
    """Of a dataclass with inlined fields, whose keys it brings together first."""
    hints = typing.get_type_hints(cls)
    keys_by_field = {name: keys_in(hints[name]) for name in inlined_in(cls)}

    def gather(value: Any) -> Any:
        if type(value) is not dict:
            raise Mismatch("an object", _describe(value))
        rest = dict(value)
        for name, keys in keys_by_field.items():
            rest[name] = {key: rest.pop(key) for key in keys if key in rest}
        return decode(rest)

    return gather


def keys_in(cls: type) -> list[str]:
    """Keys of a dataclass's object, those of its inlined fields among them."""
    hints, inlined = typing.get_type_hints(cls), inlined_in(cls)
    return [
        key
        for name in names_of(cls)
        for key in (keys_in(hints[name]) if name in inlined else [key_of(name)])
    ]


def _require_keys(keys: Iterable[str], known: frozenset[str], needed: frozenset[str]) -> None:
    unknown, missing = sorted(set(keys) - known), sorted(needed - set(keys))
    if unknown or missing:
        told = [f"{', '.join(unknown)} too many"] if unknown else []
        told += [f"{', '.join(missing)} missing"] if missing else []
        raise Mismatch(f"the keys {sorted(known)}", "; ".join(told))


def _exact(cls: type, value: Any) -> Any:
    if type(value) is not cls:
        raise Mismatch(cls.__name__, _describe(value))
    return value


def _float(value: Any) -> float:
    if type(value) is int:
        return float(value)
    if type(value) is not float or not math.isfinite(value):
        raise Mismatch("a finite float", _describe(value))
    return value


def _literal(allowed: frozenset[Any], order: tuple[Any, ...], value: Any) -> Any:
    if type(value) not in (str, int, bool) or value not in allowed:
        raise Mismatch(f"one of {list(order)}", _describe(value))
    return value


def _is_optional(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 2 and type(None) in arguments


def _optional(arguments: tuple[Any, ...]) -> Decode:
    (inner,) = (one for one in arguments if one is not type(None))
    decoder = decoder_of(inner)

    def decode(value: Any) -> Any:
        if value is None:
            return None
        try:
            return decoder(value)
        except Mismatch as error:
            if not error.keys:
                error.expected += " or null"
            raise

    return decode


def _fixed(decoders: list[Decode], value: Any) -> tuple[Any, ...]:
    if type(value) is not list or len(value) != len(decoders):
        raise Mismatch(f"{len(decoders)} values", _describe(value))
    return tuple(_at(of_one, number, value[number]) for number, of_one in enumerate(decoders))


def sequence_of(origin: Any, hint: Any) -> Decode:
    """The decoder of a list, tuple or frozenset of values of a type."""
    decoder = decoder_of(hint)
    plain = {hint} if hint in (int, str, bool) else set()

    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise Mismatch(f"a list of {_name(hint)}", _describe(value))
        if set(map(type, value)) <= plain:
            found = value
        else:
            found = [_at(decoder, number, one) for number, one in enumerate(value)]
        made = found if origin is list else origin(found)
        if len(made) != len(value):
            raise Mismatch("values that differ", _describe(value))
        return made

    return decode


def _mapping(hint: Any) -> Decode:
    decoder = decoder_of(hint)

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Mismatch(f"an object of {_name(hint)}", _describe(value))
        return {key: _under(decoder, key, one) for key, one in value.items()}

    return decode


def _at(decoder: Decode, number: int, value: Any) -> Any:
    try:
        return decoder(value)
    except Mismatch as error:
        error.keys.append(f"[{number}]")
        raise


def _under(decoder: Decode, key: str, value: Any) -> Any:
    try:
        return decoder(value)
    except Mismatch as error:
        error.keys.append(f".{key}")
        raise


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def _describe(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"
