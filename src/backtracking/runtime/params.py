"""params.yaml, read strictly: every key known, every key present, every value of its type."""

import copy
import dataclasses
import difflib
import functools
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

T = TypeVar("T")


def load(cls: type[T], section: str, path: Path) -> T:
    """One section of a parameter file as the dataclass `cls`.

    Args:
        cls: dataclass whose fields are exactly the section's keys; fields may be dataclasses.
        section: dotted name, as in `weights.base`.
        path: the parameter file.

    Raises:
        UserError: for an unknown, missing or mistyped key, with file, section, key and the nearest
            valid key; for a value that the dataclass itself refuses.
    """
    return _build(cls, _find(section, path), f"{path.name}, section `{section}`")


def load_value(hint: type[T], key: str, path: Path) -> T:
    """One value by its dotted name, of the type `hint`.

    Raises:
        UserError: where it is missing or of another type.
    """
    section, _, name = key.rpartition(".")
    return _cast(hint, _find(key, path), name, f"{path.name}, section `{section}`")


def read(path: Path) -> dict[str, Any]:
    """A parameter file as plain dicts and lists.

    Raises:
        UserError: where the file is missing or is not YAML.
    """
    try:
        value = copy.deepcopy(_parsed(artifacts.read_text(path)))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.", "Restore it with `git checkout`.") from None
    except YAMLError as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected sections with keys, found {value!r}.")
    return value


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> Any:
    """A text of YAML as values; a stage asks for a dozen sections of one file."""
    return YAML(typ="safe", pure=True).load(text)


def _find(section: str, path: Path) -> Any:
    value: Any = read(path)
    for name in section.split("."):
        if not isinstance(value, dict) or name not in value:
            known = list(value) if isinstance(value, dict) else []
            raise UserError(f"{path.name}: `{section}` is missing.", _nearest(name, known))
        value = value[name]
    return value


def _build(cls: type[T], value: Any, where: str) -> T:
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected keys with values, found {value!r}.")
    hints = typing.get_type_hints(cls)
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in value:
        if key not in fields:
            raise UserError(f"{where}: unknown key `{key}`.", _nearest(str(key), fields))
    missing = [name for name in fields if name not in value]
    if missing:
        raise UserError(f"{where}: key `{missing[0]}` is missing.", f"Add `{missing[0]}: ...`.")
    try:
        return cls(**{name: _cast(hints[name], value[name], name, where) for name in fields})
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None


def _cast(hint: Any, value: Any, key: str, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, f"{where}, key `{key}`")  # type: ignore[arg-type]
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        inner = next(argument for argument in arguments if argument is not type(None))
        return _cast(inner, value, key, where)
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is not Ellipsis and len(arguments) != len(value):
            raise UserError(f"{where}: key `{key}` expects {len(arguments)} values: {value!r}.")
        hints = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(_cast(h, v, key, where) for h, v in zip(hints, value, strict=True))
    if origin is dict and isinstance(value, dict):
        inside = f"{where}, key `{key}`"
        return {
            _cast(arguments[0], name, str(name), inside): _cast(
                arguments[1], each, str(name), inside
            )
            for name, each in value.items()
        }
    if origin is typing.Literal and value in arguments:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    a_bool_as_number = hint in (int, float) and isinstance(value, bool)
    if isinstance(hint, type) and isinstance(value, hint) and not a_bool_as_number:
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise UserError(
        f"{where}: key `{key}` expects {expected}, found {value!r} ({type(value).__name__})."
    )


def _nearest(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"Did you mean `{close[0]}`?" if close else f"Valid keys: {', '.join(known)}."
