"""A shard's bytes, in the format of safetensors, ready to be hashed and written as they come."""

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_PART = 2**20
_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
}


def serialized(tensors: dict[str, Tensor]) -> Iterator[memoryview]:
    """The bytes of a safetensors file, in parts of at most a megabyte and without a copy.

    For activations of one dtype they are those of `safetensors.torch.save`, which holds the
    interpreter's lock while it copies everything twice; a forward pass would wait for it.

    Args:
        tensors: contiguous, on the host.
    """
    # The widest numbers first, so that all lie at multiples of their size.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield memoryview(len(text).to_bytes(8, "little") + text)
    for name in names:
        data = memoryview(tensors[name].flatten().view(torch.uint8).numpy())
        for start in range(0, len(data), _PART):
            yield data[start : start + _PART]
