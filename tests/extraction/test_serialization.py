"""Shards are written as the safetensors library would write them."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
import torch
from refusals import ERRNOS, refuse, refuse_past_cache, refusing
from safetensors.torch import save
from torch import Tensor

from backtracking.extraction import serialization

N_LARGE = serialization._PART // 4


def _columns(n_rows: int) -> dict[str, Tensor]:
    return {name: torch.arange(n_rows) for name in ("trace", "sentence", "position")}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n_rows", [0, 1, 5, N_LARGE // 3, N_LARGE])
def test_the_bytes_are_those_of_the_library(
    dtype: torch.dtype, n_rows: int, tmp_path: Path
) -> None:
    tensors = {f"resid_post.{layer}": torch.randn(n_rows, 3).to(dtype) for layer in (0, 2, 10)}
    tensors |= _columns(n_rows)
    path = tmp_path / "shard"
    path.write_bytes(b"what was there before")
    sha256, n_bytes = serialization.write(tensors, path)
    expected = save(tensors)
    assert path.read_bytes() == expected
    assert (sha256, n_bytes) == (hashlib.sha256(expected).hexdigest(), len(expected))


def test_a_file_of_whole_parts_ends_where_it_should(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.touch()
    header = len(save({"a": torch.zeros(1000, dtype=torch.int64)})) - 8000
    values = torch.arange((2 * serialization._PART - header) // 8)
    for n in range(len(values) - 2, len(values)):
        tensors = {"a": values[:n]}
        assert serialization.write(tensors, path)[1] == path.stat().st_size
        assert path.read_bytes() == save(tensors)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    """A shard of four parts."""
    return {"resid_post.0": torch.randn(N_LARGE, 3), **_columns(N_LARGE // 8)}


@pytest.mark.parametrize("code", ERRNOS[::3])
@pytest.mark.parametrize("where", ["open", "first write", "third write", "end"])
def test_where_the_page_cache_cannot_be_passed_it_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tensors: dict[str, Tensor],
    where: str,
    code: int,
) -> None:
    if where == "open":
        opened = os.open

        def open_(path: Path, flags: int, *mode: int) -> int:
            return refusing(code)() if flags & os.O_DIRECT else opened(path, flags, *mode)

        monkeypatch.setattr(os, "open", open_)
    elif where == "end":
        refuse(monkeypatch, "fcntl.fcntl", code)
    else:
        refuse_past_cache(monkeypatch, code, at=0 if where == "first write" else 2)
    path = tmp_path / "shard"
    path.touch()
    assert serialization.write(tensors, path)[1] == path.stat().st_size
    assert path.read_bytes() == save(tensors)


@pytest.mark.parametrize("n_bytes", [1000, 4096, 2**20 + 1])
def test_short_writes_are_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Tensor], n_bytes: int
) -> None:
    write, few = os.write, {"resid_post.0": tensors["resid_post.0"][:5], **_columns(5)}
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:n_bytes]))
    path = tmp_path / "shard"
    path.touch()
    for one in (tensors, few) if n_bytes > 1000 else (few,):
        serialization.write(one, path)
        assert path.read_bytes() == save(one)


@pytest.mark.parametrize("answer", [0, errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_takes_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensors: dict[str, Tensor], answer: int
) -> None:
    monkeypatch.setattr(os, "write", refusing(answer) if answer else lambda *_: 0)
    (tmp_path / "shard").touch()
    with pytest.raises(OSError, match=os.strerror(answer) if answer else "nothing was written"):
        serialization.write(tensors, tmp_path / "shard")
