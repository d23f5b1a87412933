"""What computes: torch and its CUDA build, the driver, the GPU, as far as each can be asked."""

import os
import platform
import subprocess
import warnings
from dataclasses import dataclass

from backtracking.operations.items import Item

_NO_GPU = "The default study needs none."


@dataclass(frozen=True)
class Device:
    """What torch and the driver say.

    Attributes:
        torch: version of torch.
        cuda_build: CUDA version that torch was built for, empty for a CPU build.
        driver: version of the NVIDIA driver, empty where no driver answers.
        driver_cuda: newest CUDA version that the driver runs, empty where none answers.
        gpus: names and memory of the GPUs that torch can use.
        seen: names of the GPUs that the driver lists, usable or not.
    """

    torch: str
    cuda_build: str
    driver: str
    driver_cuda: str
    gpus: tuple[str, ...]
    seen: tuple[str, ...]


def describe() -> Device:
    """Asks torch and the driver; takes seconds, because it imports torch."""
    import torch

    gpus: tuple[str, ...] = ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the verdict on an old driver is ours to give
        usable = torch.cuda.is_available()
    if usable:
        found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        gpus = tuple(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in found)
    driver, seen = _driver()
    build = torch.version.cuda or ""
    return Device(torch.__version__, build, driver, _driver_cuda(), gpus, seen)


def items(device: Device) -> list[Item]:
    """Verdicts on torch's build against the driver and on the GPU."""
    built = f"a CUDA {device.cuda_build} build" if device.cuda_build else "a CPU build"
    torch_item = Item(f"torch {device.torch}, {built}.")
    if device.gpus:
        listed = "; ".join(device.gpus)
        driver = f", driver {device.driver}" if device.driver else ""
        return [torch_item, Item(f"torch can use {len(device.gpus)} GPU(s): {listed}{driver}.")]
    if not device.seen:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return [torch_item, Item(f"No GPU answers; work runs on {cores} CPU cores. {_NO_GPU}")]
    return [torch_item, _unusable(device)]


def lines() -> list[str]:
    """The device in a few lines, for a snapshot."""
    found = describe()
    return [
        f"machine: {platform.machine()} {platform.system()} {platform.release()}",
        f"cpu cores: {os.cpu_count()}",
        f"torch: {found.torch}",
        f"torch cuda build: {found.cuda_build or 'none'}",
        f"nvidia driver: {found.driver or 'none answers'}",
        f"gpus usable by torch: {'; '.join(found.gpus) or 'none'}",
    ]


def _unusable(device: Device) -> Item:
    seen = ", ".join(device.seen)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Item(f"CUDA_VISIBLE_DEVICES hides {seen} from torch.", "warning", "Unset it.")
    if not device.cuda_build:
        return Item(
            f"The driver lists {seen}, and torch is a CPU build, so it cannot use it.",
            "wrong",
            "Run `make install`: the pinned torch is a CUDA build.",
        )
    if device.driver_cuda and _major(device.driver_cuda) < _major(device.cuda_build):
        return Item(
            f"The driver {device.driver} runs CUDA up to {device.driver_cuda}, and torch is built "
            f"for {device.cuda_build}, so {seen} cannot be used.",
            "wrong",
            f"Take an image with a driver for CUDA {device.cuda_build}, or install the torch build "
            f"for CUDA {device.driver_cuda} into .venv.",
        )
    return Item(
        f"The driver {device.driver} lists {seen}, but torch cannot use it.",
        "wrong",
        "Check CUDA_VISIBLE_DEVICES, and that `nvidia-smi` works in this very container.",
    )


def _driver() -> tuple[str, tuple[str, ...]]:
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "", ()
    rows = [line.split(", ", 1) for line in said.stdout.splitlines() if ", " in line]
    if said.returncode != 0 or not rows:
        return "", ()
    return rows[0][0].strip(), tuple(row[1].strip() for row in rows)


def _driver_cuda() -> str:
    import ctypes

    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ""
    version = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return ""
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _major(version: str) -> int:
    return int(version.split(".")[0])
