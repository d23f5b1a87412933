import dataclasses
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from backtracking import PROJECT_ROOT
from lifeboat import items
from lifeboat.deadlines import Deadline
from lifeboat.doctor import device
from lifeboat.doctor.device import Device
from lifeboat.stage.errors import UserError

BARE = Device("2.15.0", "13.2", "", "", (), ())
GPU = dataclasses.replace(BARE, driver="570.1", driver_cuda="13.0", seen=("NVIDIA H100",))


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
        ({"cuda_build": ""}, "torch is a CPU build", "built for CUDA"),
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


def test_the_lines_of_a_snapshot_name_torch_and_the_gpus_and_load_nothing() -> None:
    lines = device.lines()
    assert f"torch: {torch.__version__}" in lines
    assert f"torch cuda build: {torch.version.cuda or 'none'}" in lines
    assert any(line.startswith("gpus: ") for line in lines)
    code = "import sys; from lifeboat.doctor import device; device.lines(); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT_ROOT / "src")


def test_what_is_described_is_what_torch_says_and_so_in_a_process_of_its_own(
    tmp_path: Path,
) -> None:
    found = device.describe()
    assert found.torch == torch.__version__
    assert bool(found.gpus) == torch.cuda.is_available()
    assert device.ask(tmp_path, Deadline.after(120.0)) == found


def test_a_driver_that_never_answers_costs_its_time_limit(tmp_path: Path) -> None:
    begin = time.monotonic()
    assert device.ask(tmp_path, Deadline.after(0.05)) is None
    assert time.monotonic() - begin < 3


def test_a_torch_that_cannot_be_loaded_is_told_in_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho no such library >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(UserError, match="torch cannot be asked what it has: no such library"):
        device.ask(tmp_path, Deadline.after(60.0))


SAID = {
    18: "Failed to initialize NVML: Driver/library version mismatch",
    9: "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
    6: "No devices were found",
    15: "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.",
}


@pytest.mark.kind(8)
@pytest.mark.parametrize("code", SAID)
def test_what_nvidia_smi_said_is_told_with_a_cure(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvidia-smi").write_text(f'#!/bin/sh\necho "{SAID[code]}"\nexit {code}\n')
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    _, seen, said = device._driver()
    item = device.items(dataclasses.replace(BARE, seen=seen, said=said))[1]
    assert SAID[code].rstrip(".") in item.fact and f"exit {code}" in item.fact
    assert item.verdict == "warning" and "restart it" in item.cure
    assert SAID[code].rstrip(".") in device.lines()[-1]


@pytest.mark.kind(8)
def test_a_gpu_that_torch_warns_of_is_told_in_its_words() -> None:
    said = ("torch says: Error 803: system has unsupported display driver",)
    item = device.items(dataclasses.replace(GPU, said=said))[1]
    assert "Error 803" in item.fact and item.verdict == "wrong"
