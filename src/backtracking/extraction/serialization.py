"""A shard's bytes, in the format of safetensors, hashed and written as they come.

A large shard goes to the disk past the page cache, which costs the forward pass the least: nothing
is allocated for it, and what other programs have in the cache stays there.
"""

import errno
import fcntl
import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from lifeboat.stage import abilities

_PART = 2**22
_DTYPES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int64: "I64",
}


def write(tensors: dict[str, Tensor], path: Path) -> tuple[str, int]:
    """Writes the tensors to a safetensors file.

    For activations of one dtype the bytes are those of `safetensors.torch.save`, which holds the
    interpreter's lock while it copies everything twice; a forward pass would wait for it.

    Args:
        tensors: contiguous, on the host.
        path: a file that is there; what it holds is replaced.

    Returns:
        SHA-256 of the bytes, and their number.
    """
    try:
        return _write(tensors, path, abilities.PAST_CACHE)
    except OSError:
        # Not every file system can, and some say so late: at a write, or at the last part.
        return _write(tensors, path, 0)


def _write(tensors: dict[str, Tensor], path: Path, past_cache: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    n_bytes = 0
    file = os.open(path, os.O_WRONLY | os.O_TRUNC | past_cache)
    try:
        for part in _aligned_parts(tensors):
            if len(part) < _PART and past_cache:
                # The last one: a part of a page cannot pass by the cache.
                fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) & ~past_cache)
            digest.update(part)
            _write_all(file, part)
            n_bytes += len(part)
    finally:
        os.close(file)
    return digest.hexdigest(), n_bytes


def _write_all(file: int, part: memoryview) -> None:
    while len(part):
        if not (n_bytes := os.write(file, part)):
            raise OSError(errno.EIO, "nothing was written")
        part = part[n_bytes:]


def _aligned_parts(tensors: dict[str, Tensor]) -> Iterator[memoryview]:
    """The bytes in parts of one length, each valid until the next; only the last is shorter."""
    room = np.frombuffer(mmap.mmap(-1, _PART), dtype=np.uint8)
    filled = 0
    for piece in _pieces(tensors):
        start = 0
        while start < len(piece):
            n = min(_PART - filled, len(piece) - start)
            # Unlike a memoryview's, this copy lets the forward pass have the interpreter.
            np.copyto(room[filled : filled + n], piece[start : start + n])
            start, filled = start + n, filled + n
            if filled == _PART:
                yield room.data
                filled = 0
    yield room[:filled].data


def _pieces(tensors: dict[str, Tensor]) -> Iterator[UInt8[np.ndarray, " bytes"]]:
    """The length of the header, the header, and each tensor's own memory."""
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
    yield np.frombuffer(len(text).to_bytes(8, "little") + text, dtype=np.uint8)
    for name in names:
        if tensors[name].numel():
            yield tensors[name].flatten().view(torch.uint8).numpy()
