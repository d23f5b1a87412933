"""What a changed model wrote when it was set free: plain traces, with what was changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import safetensors.numpy
from jaxtyping import Float

from backtracking.records import reader
from backtracking.records.measured import Arm
from backtracking.records.traces import Trace
from lifeboat.stage import artifacts

STEERED = "steered.json"
"""At how many tokens a vector was added, beside the index of rollouts that were steered."""

_INDEX = "index.json"
_CURE = "Write it again: `dvc --wait-for-lock repro` the stage that wrote it."


@dataclass(frozen=True)
class Rollouts:
    """Traces of one model under one change.

    Attributes:
        target: role of the model.
        name: as it stands in tables.
        group: what it is one of: `baseline`, `top`, `random`, or an arm's group.
        arms: all that was changed at once; nothing for the baseline.
        traces: what it wrote, one trace a problem.
        nll: -log p of every written token of every trace under the unchanged model, in nats; None
            where it was not asked.
        n_steered: of every trace, tokens at which a vector was added; None where none is.
    """

    target: str
    name: str
    group: str
    arms: tuple[Arm, ...]
    traces: tuple[Trace, ...]
    nll: tuple[Float[np.ndarray, " _"], ...] | None = None
    n_steered: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Entry:
    """One file of a folder of rollouts.

    Attributes:
        file: its name.
        target, name, group, arms: as in `Rollouts`.
        nll: the file of `Rollouts.nll`; None where there is none.
    """

    file: str
    target: str
    name: str
    group: str
    arms: tuple[Arm, ...]
    nll: str | None


@dataclass(frozen=True)
class Index:
    """The files of a folder of rollouts, in order."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Steered:
    """At how many tokens a vector was added.

    Attributes:
        by_file: `Rollouts.n_steered` of every file.
    """

    by_file: Mapping[str, tuple[int, ...] | None]


def write_rollouts(folder: Path, rollouts: Sequence[Rollouts]) -> None:
    """Writes one file of JSON Lines each, and an index of them."""
    entries = tuple(_entry(one) for one in rollouts)
    for entry, one in zip(entries, rollouts, strict=True):
        reader.write_lines(folder / entry.file, one.traces)
        if entry.nll is not None and one.nll is not None:
            values = np.concatenate([np.zeros(0), *one.nll])
            artifacts.write_bytes(folder / entry.nll, safetensors.numpy.save({"nll": values}))
    counted = {e.file: one.n_steered for e, one in zip(entries, rollouts, strict=True)}
    if any(counts is not None for counts in counted.values()):
        reader.write_json(folder / STEERED, Steered(counted))
    reader.write_json(folder / _INDEX, Index(entries))


def read_rollouts(folder: Path) -> list[Rollouts]:
    """All rollouts of a folder, in the order in which they were written.

    Raises:
        UserError: where the index or a file is missing, or is another file.
    """
    index = reader.read_json(Index, folder / _INDEX, _CURE)
    path, by_file = folder / STEERED, dict[str, tuple[int, ...] | None]()
    if path.is_file():
        by_file = dict(reader.read_json(Steered, path, _CURE).by_file)
    return [
        replace(_read(folder, entry), n_steered=by_file.get(entry.file)) for entry in index.entries
    ]


def _entry(one: Rollouts) -> Entry:
    name = f"{one.target}.{one.name}"
    nll = None if one.nll is None else f"{name}.nll.safetensors"
    return Entry(f"{name}.jsonl", one.target, one.name, one.group, one.arms, nll)


def _read(folder: Path, entry: Entry) -> Rollouts:
    written = tuple(reader.read_lines(Trace, folder / entry.file))
    nll = None
    if entry.nll is not None:
        values = safetensors.numpy.load_file(folder / entry.nll)["nll"]
        ends = np.cumsum([len(trace.token_ids) for trace in written])
        nll = tuple(np.split(values, ends)[:-1])
    return Rollouts(entry.target, entry.name, entry.group, entry.arms, written, nll)
