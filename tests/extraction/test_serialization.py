"""Shards are written as the safetensors library would write them."""

import hashlib
import os
from pathlib import Path

import pytest
import torch
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


def test_where_the_page_cache_cannot_be_passed_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {"resid_post.0": torch.randn(N_LARGE, 3), **_columns(N_LARGE)}
    monkeypatch.setattr(serialization, "_PAST_CACHE", os.O_DIRECTORY)  # refused for a file
    path = tmp_path / "shard"
    path.touch()
    serialization.write(tensors, path)
    assert path.read_bytes() == save(tensors)
