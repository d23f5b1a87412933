"""What computes: torch and its CUDA build, the driver, the GPU, as far as each can be asked."""

import dataclasses
import importlib.util
import json
import os
import platform
import runpy
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from lifeboat import deadlines, processes
from lifeboat.deadlines import Deadline
from lifeboat.items import Item
from lifeboat.stage import failures
from lifeboat.stage.errors import UserError

_OLDEST_DRIVERS = {11: "450", 12: "525", 13: "580"}
"""Branch of NVIDIA's Linux driver from which every release of a major version of CUDA runs."""

_RESTART = (
    "If this machine should have a GPU, restart it (after an update of the driver nothing else "
    "helps) or rent another one."
)


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
        memory: bytes of each GPU that torch can use.
        free: bytes of it that nobody uses now.
        said: what the driver's tool and torch said of a GPU that they cannot reach, in sentences.
    """

    torch: str
    cuda_build: str
    driver: str
    driver_cuda: str
    gpus: tuple[str, ...]
    seen: tuple[str, ...]
    memory: tuple[int, ...] = ()
    free: tuple[int, ...] = ()
    said: tuple[str, ...] = ()


def describe() -> Device:
    """Asks torch and the driver; takes seconds, because it imports torch."""
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # the verdict on an old driver is ours to give
        numbers = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    found = [torch.cuda.get_device_properties(i) for i in numbers]
    driver, seen, said = _driver()
    return Device(
        torch=torch.__version__,
        cuda_build=torch.version.cuda or "",
        driver=driver,
        driver_cuda=_driver_cuda(),
        gpus=tuple(f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB" for gpu in found),
        seen=seen,
        memory=tuple(gpu.total_memory for gpu in found),
        free=tuple(torch.cuda.mem_get_info(i)[0] for i in numbers),
        said=(*said, *(f"torch says: {failures.in_line(str(one.message))}" for one in caught)),
    )


def ask(root: Path, deadline: Deadline) -> Device | None:
    """`describe` in a process of its own, or None where it takes too long.

    A driver that is ill can hold whoever asks it for ever, and no thread gets away from that.
    """
    command = [sys.executable, "-m", "lifeboat.doctor.device"]
    source = str(Path(__file__).resolve().parents[2])
    finished = deadlines.call(command, root, deadline, {"PYTHONPATH": source})
    try:
        found = json.loads(finished.stdout)
    except ValueError:
        if finished.returncode == deadlines.TIMED_OUT:
            return None
        why = processes.last_lines(finished, 1)
        cure = (
            "Install the environment again; where it is the driver's fault, restart or rent anew."
        )
        raise UserError(f"torch cannot be asked what it has: {why}.", cure) from None
    lists = {name: tuple(value) for name, value in found.items() if isinstance(value, list)}
    return Device(**{**found, **lists})


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
        fact = f"No GPU answers; work runs on {cores} CPU cores."
        if not device.said:
            return [torch_item, Item(fact)]
        return [torch_item, Item(_with_words(fact, device), "warning", _RESTART)]
    found = _unusable(device)
    return [torch_item, Item(_with_words(found.fact, device), found.verdict, found.cure)]


def _with_words(fact: str, device: Device) -> str:
    return " ".join([fact, *(f"{said}." for said in device.said)])


def lines() -> list[str]:
    """The device in a few lines, for a snapshot; torch is not loaded, so it takes no seconds."""
    driver, seen, said = _driver()
    version, build = _torch_files()
    return [
        f"machine: {platform.machine()} {platform.system()} {platform.release()}",
        f"cpu cores: {os.cpu_count()}",
        f"torch: {version or 'not installed'}",
        f"torch cuda build: {build or 'none'}",
        f"nvidia driver: {driver or 'none answers'}",
        f"gpus: {'; '.join((*seen, *said)) or 'none'}",
    ]


def _unusable(device: Device) -> Item:
    seen = ", ".join(device.seen)
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return Item(f"CUDA_VISIBLE_DEVICES hides {seen} from torch.", "warning", "Unset it.")
    if not device.cuda_build:
        return Item(
            f"The driver lists {seen}, and torch is a CPU build, so it cannot use it.",
            "wrong",
            "Install a torch that is built for CUDA, as the pinned one is.",
        )
    if device.driver_cuda and _major(device.driver_cuda) < _major(device.cuda_build):
        return _too_old(device, seen)
    return Item(
        f"The driver {device.driver} lists {seen}, but torch cannot use it.",
        "wrong",
        "Check CUDA_VISIBLE_DEVICES, and that `nvidia-smi` works in this very container.",
    )


def _too_old(device: Device, seen: str) -> Item:
    oldest = _OLDEST_DRIVERS.get(_major(device.cuda_build))
    needs = f"driver {oldest} or newer" if oldest else "a newer driver"
    return Item(
        f"The driver {device.driver} runs CUDA up to {device.driver_cuda}, and torch is built "
        f"for {device.cuda_build}, so {seen} cannot be used.",
        "wrong",
        f"Rent an image with {needs} (CUDA {device.cuda_build}); or keep this one and put the "
        f"torch build for CUDA {device.driver_cuda} into .venv: `uv pip install --python "
        ".venv/bin/python --torch-backend=auto --reinstall-package torch torch`.",
    )


def _driver() -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The driver's version, the GPUs that it lists, and what its tool said where it failed."""
    query = ["nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        asked = subprocess.run(
            query, check=False, capture_output=True, text=True, errors="replace", timeout=5
        )
    except FileNotFoundError:
        return "", (), ()
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", (), (f"nvidia-smi: {failures.sentence(error)}",)
    rows = [line.split(", ", 1) for line in asked.stdout.splitlines() if ", " in line]
    if asked.returncode == 0 and rows:
        return rows[0][0].strip(), tuple(row[1].strip() for row in rows), ()
    words = failures.in_line(f"{asked.stdout} {asked.stderr}") or "nothing"
    return "", (), (f"nvidia-smi says: {words} (exit {asked.returncode})",)


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


def _torch_files() -> tuple[str, str]:
    """Version and CUDA build of the installed torch, as a file of it states them."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return "", ""
    stated = runpy.run_path(str(Path(spec.origin).parent / "version.py"))
    return stated["__version__"], stated.get("cuda") or ""


def _major(version: str) -> int:
    return int(version.split(".")[0])


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(describe())))
