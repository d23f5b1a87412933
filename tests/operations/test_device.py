import dataclasses

import pytest
import torch

from backtracking.operations import device, items
from backtracking.operations.device import Device

BARE = Device("2.15.0", "13.2", "", "", (), ())
GPU = dataclasses.replace(BARE, driver="570.1", driver_cuda="13.0", seen=("NVIDIA H100",))


def test_what_is_described_is_what_torch_says() -> None:
    found = device.describe()
    assert found.torch == torch.__version__
    assert bool(found.gpus) == torch.cuda.is_available()


def test_no_gpu_is_said_and_is_fine() -> None:
    found = device.items(BARE)
    assert items.proven(found)
    assert any("No GPU answers" in item.fact for item in found)


def test_a_gpu_that_torch_can_use_is_named() -> None:
    found = device.items(dataclasses.replace(GPU, gpus=("NVIDIA H100, 80 GiB",)))
    assert items.proven(found)
    assert "NVIDIA H100, 80 GiB, driver 570.1" in found[1].fact


@pytest.mark.parametrize(
    ("changes", "fact", "cure"),
    [
        ({"driver_cuda": "12.4"}, "runs CUDA up to 12.4, and torch is built for 13.2", "12.4"),
        ({"cuda_build": ""}, "torch is a CPU build", "make install"),
        ({}, "lists NVIDIA H100, but torch cannot use it", "nvidia-smi"),
    ],
)
def test_a_gpu_that_torch_cannot_use_is_wrong_and_has_a_cure(
    changes: dict[str, str], fact: str, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    found = device.items(dataclasses.replace(GPU, **changes))
    assert not items.proven(found)
    assert fact in found[1].fact
    assert cure in found[1].cure


def test_a_hidden_gpu_is_the_users_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = device.items(GPU)
    assert items.proven(found)
    assert "CUDA_VISIBLE_DEVICES hides" in found[1].fact


def test_the_lines_of_a_snapshot_name_torch_and_the_gpus() -> None:
    text = "\n".join(device.lines())
    assert f"torch: {torch.__version__}" in text
    assert "gpus usable by torch:" in text
