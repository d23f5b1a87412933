import dataclasses
import shutil
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from backtracking.models import memory
from backtracking.models.sizes import Model
from lifeboat.doctor.device import Device
from lifeboat.items import Item

BARE = Device("2.15.0", "13.2", "", "", (), ())
GIB = 2**30
SMALL = Model("base", "train", 4, 64, 300_000, True)
LARGE = Model("reasoning", "some/model", 28, 1536, 4_000_000_000, True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copyfile(PROJECT_ROOT / "params.yaml", tmp_path / "params.yaml")
    return tmp_path


def gpu(total: int, free: int) -> Device:
    seen = ("A GPU",)
    return dataclasses.replace(BARE, gpus=seen, seen=seen, memory=(total,), free=(free,))


def look(root: Path, device: Device, monkeypatch: pytest.MonkeyPatch, *found: Model) -> list[Item]:
    monkeypatch.setattr(memory, "models", lambda _root: list(found))
    return memory.items(root, device)


def test_the_default_study_fits_everywhere(root: Path) -> None:
    (item,) = memory.items(root, BARE)
    assert (item.verdict, "(trained here, " in item.fact) == ("ok", True)


@pytest.mark.parametrize(
    ("total", "free", "verdict", "cure"),
    [
        (80, 79, "ok", ""),
        (80, 20, "warning", "Lower batch sizes"),
        (80, 10, "wrong", "nvidia-smi"),
        (12, 12, "wrong", "Rent a larger GPU"),
    ],
)
def test_the_largest_model_is_compared_with_the_gpu(
    total: int, free: int, verdict: str, cure: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = gpu(total * GIB, free * GIB)
    (item,) = look(root, device, monkeypatch, SMALL, LARGE)
    assert item.verdict == verdict
    assert "some/model, 4.0 billion parameters) takes 14.9 GiB in float32" in item.fact
    assert f"the GPU has {total}.0 GiB, {free}.0 GiB of it free" in item.fact
    assert cure in item.cure


@pytest.mark.parametrize(
    ("free", "verdict", "said"),
    [
        ((79, 79), "ok", "the GPU has 80.0 GiB, 79.0 GiB of it free"),
        ((10, 79), "ok", "the GPU has 80.0 GiB, 79.0 GiB of it free"),
        ((17, 17), "ok", "layers 0 to 13 on cuda:0 (12.5 GiB of 17.0 GiB free), layers 14 to 27"),
        ((10, 6), "warning", "without room for 16,384 tokens at a time"),
        ((6, 6), "wrong", "need 14.9 GiB, and do not fit: layers 0 to 10 on cuda:0 (5.9 GiB of 6"),
    ],
)
def test_over_several_gpus_it_is_said_where_the_largest_model_would_stand(
    free: tuple[int, int], verdict: str, said: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = dataclasses.replace(
        gpu(0, 0), memory=(80 * GIB,) * 2, free=tuple(one * GIB for one in free)
    )
    (item,) = look(root, device, monkeypatch, SMALL, LARGE)
    assert said in item.fact
    assert item.verdict == verdict


def test_the_widest_type_of_the_parameters_counts(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "params.yaml"
    path.write_text(path.read_text().replace("dtype: float32", "dtype: bfloat16"))
    (item,) = look(root, gpu(80 * GIB, 80 * GIB), monkeypatch, LARGE)
    assert "takes 7.5 GiB in bfloat16" in item.fact


def test_a_large_model_without_a_gpu_is_a_warning_or_does_not_fit(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_free_memory", lambda: 64 * GIB)
    (item,) = look(root, BARE, monkeypatch, LARGE)
    assert (item.verdict, "There is no GPU here: this takes days" in item.fact) == ("warning", True)
    monkeypatch.setattr(memory, "_free_memory", lambda: 4 * GIB)
    assert look(root, BARE, monkeypatch, LARGE)[0].verdict == "wrong"


def test_a_model_of_unknown_size_is_said_to_be_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = Model("reasoning", "some/model")
    first, second = look(root, BARE, monkeypatch, SMALL, unknown)
    assert (first.verdict, "`some/model` needs is not known" in first.fact) == ("warning", True)
    assert second.verdict == "ok"
    assert len(look(root, BARE, monkeypatch, unknown)) == 1


def test_the_machine_says_how_much_memory_is_free() -> None:
    free = memory._free_memory()
    assert free is not None
    assert 2**20 < free < 2**50
