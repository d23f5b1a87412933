"""Nested values as one safetensors file and back, without pickle.

Arrays and tensors are the file's tensors, aligned; how they belong together is JSON in its
metadata. Equal values give equal bytes. A file may come from elsewhere: nothing is restored but the
kinds of value named here and the classes that are allowed, and nothing in it is run.
"""

import json
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from lifeboat.stage.content import tensor_bytes
from lifeboat.stage.errors import UserError
from lifeboat.stage.names import Types, name_of, names_in

FORMAT = "lifeboat unit 1"
_PLAIN = {bool, int, str, type(None)}
_SCALARS = {*_PLAIN, float}
_NAME_BY_DTYPE = {
    **{"<f8": "F64", "<f4": "F32", "<f2": "F16", "|b1": "BOOL"},
    **{"<i8": "I64", "<i4": "I32", "<i2": "I16", "|i1": "I8"},
    **{"<u8": "U64", "<u4": "U32", "<u2": "U16", "|u1": "U8"},
}
_DTYPE_BY_NAME = {name: dtype for dtype, name in _NAME_BY_DTYPE.items()}
_TORCH_BY_NAME = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8"},
}
_NAME_BY_TORCH = {f"torch.{dtype}": name for name, dtype in _TORCH_BY_NAME.items()}
_OTHER_DTYPE = re.compile(r"[<>|][biufcSUmM]\d{1,9}(\[\w{1,9}\])?")


class _Stored(NamedTuple):
    """A tensor of the file; `width` is the bytes of one number."""

    dtype: str
    shape: list[int]
    width: int
    data: np.ndarray


def pack(value: Any, types: Types) -> Iterator[memoryview]:
    """The bytes of a value, piece by piece.

    Args:
        value: None, bool, int, float, str; lists, tuples and dicts; numpy scalars and arrays (of
            objects, where these are plain); dense torch tensors, which come back on the CPU;
            dataclasses and named tuples. No classes derived from these.
        types: the classes that may be restored.

    Raises:
        TypeError: naming another type, and where it stands.
    """
    packer = _Packer(types)
    structure = json.dumps(packer.encode(value, "result"), allow_nan=False, separators=(",", ":"))
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "structure": structure}}
    # The widest numbers first, so that all lie at multiples of their size.
    stored = sorted(packer.stored.items(), key=lambda one: -one[1].width)
    end = 0
    for name, one in stored:
        start, end = end, end + one.data.nbytes
        header[name] = {"dtype": one.dtype, "shape": one.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield memoryview(len(text).to_bytes(8, "little") + text)
    yield from (one.data.data for _name, one in stored if one.data.size)


def unpack(data: bytes, types: Types, where: str = "The file") -> Any:
    """The value of a file that `pack` gave.

    Args:
        data: the file's bytes.
        types: the classes that may be restored.
        where: what the file is called in a message.

    Raises:
        UserError: for bytes that are none, or name a class that may not be restored.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if header["format"] != FORMAT:
            raise ValueError(f"its format is {header['format']!r:.40}")
        unpacker = _Unpacker(dict(safetensors.deserialize(data)), types)
        return unpacker.decode(json.loads(header["structure"]))
    except Exception as error:  # whatever a strange file brings about
        raise UserError(
            f"{where} cannot be read as a unit of work: {error or type(error).__name__}.",
            "Remove it, and what it held is computed again.",
        ) from error


def write(path: Path, value: Any, types: Types) -> None:
    """Writes the bytes of `pack` into a file."""
    with path.open("wb") as file:
        file.writelines(pack(value, types))


def read(path: Path, types: Types) -> Any:
    """The value of a file that `write` has written.

    Raises:
        UserError: as `unpack`.
    """
    return unpack(path.read_bytes(), types, str(path))


class _Packer:
    def __init__(self, types: Types) -> None:
        self.types = types
        self.stored: dict[str, _Stored] = {}

    def encode(self, value: Any, at: str) -> Any:
        """A value as JSON; the first key of an object says what it is."""
        kind = type(value)
        if kind in _PLAIN or (kind is float and math.isfinite(value)):
            return value
        if kind is float:
            return {"float": repr(value)}
        if kind in (list, tuple):
            items = self._items(value, at)
            return items if kind is list else {"tuple": items}
        if kind is dict:
            return {"dict": [self._pair(key, one, at) for key, one in value.items()]}
        if kind is np.ndarray or isinstance(value, np.generic):
            return self._array(value, at)
        if (torch := sys.modules.get("torch")) and isinstance(value, torch.Tensor):
            return self._tensor(value, at)
        return self._record(value, at)

    def _items(self, items: Any, at: str) -> list[Any]:
        if set(map(type, items)) <= _PLAIN:
            return list(items)
        return [self.encode(one, f"{at}[{number}]") for number, one in enumerate(items)]

    def _pair(self, key: Any, value: Any, at: str) -> list[Any]:
        return [self.encode(key, f"a key of {at}"), self.encode(value, f"{at}[{key!r:.40}]")]

    def _array(self, value: Any, at: str) -> dict[str, Any]:
        tag, dtype, shape = type(value).__name__, value.dtype.str, list(value.shape)
        tag = "array" if tag == "ndarray" else "scalar"
        if dtype in _NAME_BY_DTYPE:
            return {tag: self._store(_NAME_BY_DTYPE[dtype], value, shape, value.itemsize)}
        if _OTHER_DTYPE.fullmatch(dtype):
            name = self._store("U8", value, [value.nbytes], 1)
            return {tag: name, "dtype": dtype, "shape": shape}
        elements = value.ravel().tolist() if value.dtype == np.dtype(object) else [value]
        if not set(map(type, elements)) <= _SCALARS:
            raise TypeError(f"{at} is a numpy array of {value.dtype}, which is not kept.")
        return {"objects": self._items(elements, at), "shape": shape}

    def _tensor(self, value: Any, at: str) -> dict[str, Any]:
        dtype = _NAME_BY_TORCH.get(str(value.dtype))
        if dtype is None or str(value.layout) != "torch.strided":
            raise TypeError(f"{at} is a {value.layout} tensor of {value.dtype}, which is not kept.")
        data = tensor_bytes(value)
        return {"tensor": self._store(dtype, data, list(value.shape), value.element_size())}

    def _store(self, dtype: str, value: Any, shape: list[int], width: int) -> str:
        name = str(len(self.stored))
        data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        self.stored[name] = _Stored(dtype, shape, width, data)
        return name

    def _record(self, value: Any, at: str) -> dict[str, Any]:
        kind = type(value)
        if not self.types.may_restore(kind):
            raise TypeError(f"{at} is of the type {name_of(kind)}, which is not kept.")
        values = {
            name: self.encode(getattr(value, name), f"{at}.{name}") for name in names_in(kind)
        }
        return {"record": name_of(kind), "fields": values}


class _Unpacker:
    def __init__(self, tensors: dict[str, dict[str, Any]], types: Types) -> None:
        self.tensors, self.types = tensors, types

    def decode(self, node: Any) -> Any:
        """The value that some JSON stands for."""
        if type(node) in _SCALARS:
            return node
        if type(node) is list:
            is_plain = set(map(type, node)) <= _SCALARS
            return node if is_plain else [self.decode(one) for one in node]
        return self._object(next(iter(node)), node)

    def _object(self, tag: str, node: dict[str, Any]) -> Any:
        value = node[tag]
        match tag:
            case "float":
                return float(value)
            case "tuple":
                return tuple(self.decode(value))
            case "dict":
                return {self.decode(key): self.decode(one) for key, one in value}
            case "array":
                return self._array(node, value)
            case "scalar":
                return self._array(node, value)[()]
            case "objects":
                return np.array(self.decode(value), dtype=object).reshape(node["shape"])
            case "tensor":
                return self._tensor(value)
            case "record":
                return self._record(value, node["fields"])
        raise ValueError(f"{tag!r:.40} is no kind of value")

    def _array(self, node: dict[str, Any], name: str) -> Any:
        one = self.tensors[name]
        dtype = node["dtype"] if "dtype" in node else _DTYPE_BY_NAME[one["dtype"]]
        if "dtype" in node and not _OTHER_DTYPE.fullmatch(dtype):
            raise ValueError(f"{dtype!r:.40} is no dtype of an array")
        return np.ndarray(tuple(node.get("shape", one["shape"])), dtype, buffer=one["data"])

    def _tensor(self, name: str) -> Any:
        import torch

        one = self.tensors[name]
        dtype = getattr(torch, _TORCH_BY_NAME[one["dtype"]])
        if not one["data"]:
            return torch.empty(one["shape"], dtype=dtype)
        return torch.frombuffer(one["data"], dtype=dtype).reshape(one["shape"])

    def _record(self, name: str, values: dict[str, Any]) -> Any:
        kind = self.types.find(name)
        if sorted(values) != sorted(names_in(kind)):
            raise ValueError(f"{name} has other fields than {sorted(values)}")
        return kind(**{field: self.decode(one) for field, one in values.items()})
