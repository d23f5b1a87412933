"""The content of inputs as a hash: equal hashes mean equal types and equal values, nothing else.

What has no content of its own (a path, a file, a function, a generator of random numbers) is
refused. An object may say by itself what it is: a text in its attribute, or from its method,
`content_key`; a model would give the hashes of its files.
"""

import functools
import hashlib
import sys
from collections import namedtuple
from collections.abc import Iterable, Mapping, Set
from dataclasses import is_dataclass, make_dataclass
from enum import Enum
from pathlib import PurePath
from types import FunctionType
from typing import Any

import numpy as np

from lifeboat.stage.fingerprint import Code
from lifeboat.stage.names import is_record, module_of, name_of, names_in

_PLAIN = {bool, bytes, float, int, str, type(None)}
_EMPTY = (
    make_dataclass("Record", (), frozen=True, order=True, slots=True),
    namedtuple("Pair", ()),
    Enum("Choice", ()),
)
_NO_METHODS = {"__post_init__"}.union(*map(vars, _EMPTY))


class Contents:
    """Hashes of values. Those of frozen dataclasses are remembered, so they must not be changed.

    Args:
        code: of ours: where an input's class has methods, what they compute counts too.
    """

    def __init__(self, code: Code) -> None:
        self._code = code
        self._remembered: dict[int, tuple[object, bytes]] = {}
        self._class_names: dict[type, str] = {}
        self._at: list[Any] = []

    def digest(self, value: object, name: str) -> bytes:
        """SHA-256 of a value. The order of a mapping counts, that of a set does not.

        Args:
            value: nested dataclasses, named tuples, tuples, lists, mappings, sets, enumerations,
                numpy arrays, torch tensors, plain values, and objects with a `content_key`.
            name: what it is called in a message.

        Raises:
            TypeError: naming the first other type, and where it stands.
        """
        self._at = [name]
        return self._digest(value)

    def _digest(self, value: Any) -> bytes:
        kind = type(value)
        if kind in _PLAIN:
            return _hash(kind.__name__, repr(value))
        own = None if isinstance(value, type) else getattr(value, "content_key", None)
        if own is not None:
            return self._own(value, own)
        if isinstance(value, Enum):
            return _hash("enum", self._class_name(kind), *self._children([(".value", value.value)]))
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        if _is_tensor(value):
            return _hash("tensor", str(value.dtype), repr(tuple(value.shape)), self._bytes(value))
        if is_record(kind):
            return self._record(value)
        return self._collection(value)

    def _own(self, value: object, own: Any) -> bytes:
        key = own() if callable(own) else own
        if not isinstance(key, str) or not key:
            raise self._refusal(value, "its `content_key` must be a text that is not empty.")
        return _hash("own", self._class_name(type(value)), key)

    def _record(self, value: Any) -> bytes:
        is_frozen = is_dataclass(value) and type(value).__dataclass_params__.frozen  # type: ignore[attr-defined]
        if is_frozen and id(value) in self._remembered:
            return self._remembered[id(value)][1]
        named = ((f".{name}", getattr(value, name)) for name in names_in(type(value)))
        found = _hash("record", self._class_name(type(value)), *self._children(named))
        if is_frozen:
            self._remembered[id(value)] = value, found
        return found

    def _collection(self, value: Any) -> bytes:
        if type(value) in (list, tuple):
            kind = type(value).__name__
            if set(map(type, value)) <= _PLAIN:
                return _hash(f"plain {kind}", repr(value))
            return _hash(kind, *self._children(enumerate(value)))
        if isinstance(value, Mapping):
            keys = self._children(("a key", key) for key in value)
            return _hash("mapping", *keys, *self._children(value.items()))
        if isinstance(value, Set):
            return _hash("set", *sorted(self._children(("an element", one) for one in value)))
        if isinstance(value, PurePath):
            raise self._refusal(
                value, "a path is a name; give the content of the file, or its hash."
            )
        raise self._refusal(value, "give a plain value in its place, or a `content_key` to it.")

    def _children(self, named: Iterable[tuple[object, Any]]) -> list[bytes]:
        """The hashes of some values, each with the name of its place."""
        found = []
        for step, value in named:
            self._at.append(step)
            found.append(_hash(step if isinstance(step, str) else "", self._digest(value)))
            self._at.pop()
        return found

    def _array(self, value: Any) -> bytes:
        is_scalar = isinstance(value, np.generic)
        parts = ("scalar" if is_scalar else "array", value.dtype.str, repr(value.shape))
        if not value.dtype.hasobject:
            return _hash(*parts, repr(value.dtype.descr), np.ascontiguousarray(value).tobytes())
        elements = value.ravel().tolist()
        if value.dtype != np.dtype(object) or not set(map(type, elements)) <= _PLAIN:
            raise self._refusal(value, "its elements must be plain values.")
        return _hash(*parts, repr(elements))

    def _bytes(self, tensor: Any) -> bytes:
        try:
            return tensor_bytes(tensor).tobytes()
        except (RuntimeError, TypeError, ValueError) as error:
            raise self._refusal(tensor, f"its numbers cannot be read: {error}") from None

    def _class_name(self, kind: type) -> str:
        """Name of a class, with the code behind the methods that ours have."""
        if kind not in self._class_names:
            modules = sorted(set(map(module_of, filter(_has_methods, kind.__mro__))))
            code = [self._code.fingerprint(one) for one in modules if one in self._code]
            self._class_names[kind] = " ".join([name_of(kind), *code])
        return self._class_names[kind]

    def _refusal(self, value: object, cure: str) -> TypeError:
        first, *rest = self._at
        where = first + "".join(map(_shown, rest))
        return TypeError(f"{where} is of the type {name_of(type(value))}: {cure}")


def tensor_bytes(tensor: Any) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """The bytes of a dense torch tensor's numbers, in order, on the host."""
    torch = sys.modules["torch"]
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy()


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


@functools.cache
def _has_methods(kind: type) -> bool:
    """Whether a class of ours does more than hold values and check them."""
    hand_written = (FunctionType, property, classmethod, staticmethod, functools.cached_property)
    own = {name for name, one in vars(kind).items() if isinstance(one, hand_written)}
    return bool(own - _NO_METHODS)


def _shown(step: object) -> str:
    is_field = isinstance(step, str) and step.startswith(".")
    return str(step) if is_field else f"[{step!r:.40}]"


def _hash(*parts: str | bytes) -> bytes:
    """Hash of parts whose number and lengths count."""
    digest = hashlib.sha256(len(parts).to_bytes(8, "little"))
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.digest()
