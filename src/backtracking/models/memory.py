"""GPU memory against the models of the study."""

import os
from pathlib import Path

from backtracking.models.cards import Card, Size, in_words, place
from backtracking.models.footprint import Footprint
from backtracking.models.published import SHAPES
from backtracking.models.sizes import BYTES_BY_DTYPE, Model, models
from backtracking.runtime import params
from backtracking.runtime.workspace import Workspace
from lifeboat.doctor.device import Device
from lifeboat.doctor.doctor import Machine
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

ROOMY_SHARE = 0.7
"""Weights that take more of a GPU than this leave too little for activations and caches."""
_SMALLER_BATCHES = (
    "Lower batch sizes (tokens_per_batch, rows_per_batch, batch_size) in params.yaml."
)
LARGE = 500_000_000
"""Parameters above which a study on a CPU takes days."""


def checks(root: Path, machine: Machine) -> list[Item]:
    """As `items`; nothing where it is not known what computes here."""
    return items(root, machine.device) if machine.device else []


def items(root: Path, device: Device) -> list[Item]:
    """Whether the largest model of the study fits where it would run.

    Raises:
        UserError: where params.yaml cannot be read.
    """
    found = models(root)
    unknown = sorted({model.source for model in found if model.n_parameters is None})
    said = [_unknown(source) for source in unknown]
    known = [model for model in found if model.n_parameters]
    if not known:
        return said
    largest = max(known, key=lambda model: model.n_parameters or 0)
    return [*said, _fits(largest, _dtype(root), device)]


def _unknown(source: str) -> Item:
    fact = f"How much memory `{source or 'a model without a source'}` needs is not known: "
    fact += "it is neither a folder nor in the cache yet."
    return Item(fact, "warning", "Compare its size on the hub with the GPU's memory before a run.")


def _fits(model: Model, dtype: str, device: Device) -> Item:
    n_parameters = model.n_parameters or 0
    needed = n_parameters * BYTES_BY_DTYPE.get(dtype, 4)
    name = "trained here" if model.is_trained_here else model.source
    what = f"The largest model ({name}, {_count(n_parameters)} parameters) takes {in_words(needed)}"
    what += f" in {dtype}"
    if not device.memory:
        return _on_cpu(what, needed, n_parameters, bool(device.seen))
    if len(device.memory) > 1:
        return _on_gpus(what, needed, _size_of(model, dtype), device)
    total = min(device.memory)
    return _on_gpu(what, needed, total, min(device.free, default=total))


def _on_gpu(what: str, needed: int, total: int, free: int) -> Item:
    fact = f"{what}; the GPU has {in_words(total)}, {in_words(free)} of it free."
    if needed > total:
        cure = "Rent a larger GPU, or set a smaller dtype or model in params.yaml."
        return Item(fact, "wrong", cure)
    if needed > free:
        return Item(fact, "wrong", "End what holds it: `nvidia-smi` lists the processes.")
    if needed > ROOMY_SHARE * free:
        return Item(fact, "warning", _SMALLER_BATCHES)
    return Item(fact)


def _on_gpus(what: str, needed: int, size: Size, device: Device) -> Item:
    """As the model would be loaded: on one of several GPUs, or spread over them."""
    free = device.free or device.memory
    cards = [Card(f"cuda:{number}", n_bytes) for number, n_bytes in enumerate(free)]
    try:
        found = place(size, cards, "it")
    except UserError as error:
        return Item(f"{what}; {error}", "wrong")
    if len(found.cards) == 1:
        at = cards.index(found.cards[0])
        return _on_gpu(what, needed, device.memory[at], free[at])
    fact = f"{what}; it would stand on several GPUs, which work in turn: {found.told}."
    return Item(fact) if found.is_roomy else Item(fact, "warning", _SMALLER_BATCHES)


def _size_of(model: Model, dtype: str) -> Size:
    """What a model needs, its blocks taken to be equal; of one that is not published, guessed."""
    n_layers, d_model, n_all = model.n_layers or 1, model.d_model or 0, model.n_parameters or 0
    shape, width = SHAPES.get(model.source), BYTES_BY_DTYPE.get(dtype, 4)
    if shape is None:
        token = Footprint.of(n_layers, 2 * d_model, d_model, 4 * d_model, width)
        return Size.of([n_all // n_layers] * n_layers, 0, width, token)
    n_each = (n_all - shape.n_outside) // n_layers
    return Size.of([n_each] * n_layers, shape.n_outside, width, shape.token(width))


def _on_cpu(what: str, needed: int, n_parameters: int, has_gpu: bool) -> Item:
    free = _free_memory()
    fact = f"{what}; {in_words(free)} of the machine's memory are free." if free else f"{what}."
    if free and needed > free:
        return Item(fact, "wrong", "Take a machine with more memory, or a smaller model.")
    if n_parameters > LARGE:
        where = "that torch can use" if has_gpu else "here"
        cure = "Rent a GPU, or `git checkout params.yaml` for the default study."
        return Item(f"{fact} There is no GPU {where}: this takes days.", "warning", cure)
    return Item(fact)


def _dtype(root: Path) -> str:
    """The widest type in which a stage runs the models."""
    sections = params.read(Workspace(root).params).values()
    named = [s["dtype"] for s in sections if isinstance(s, dict) and "dtype" in s]
    known = [str(dtype) for dtype in named if dtype in BYTES_BY_DTYPE]
    return max(known, key=lambda dtype: BYTES_BY_DTYPE[dtype], default="float32")


def _free_memory() -> int | None:
    """Bytes that a new process can have, as Linux and macOS tell it; None where nobody does."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        row = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(row.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _count(n: int) -> str:
    for unit, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if n >= unit:
            return f"{n / unit:.1f} {name}"
    return str(n)
