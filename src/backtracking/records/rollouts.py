"""What a changed model wrote when it was set free: plain traces, with what was changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backtracking.records import reader, traces
from backtracking.records.measured import Arm
from backtracking.records.traces import Trace

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
    """

    target: str
    name: str
    group: str
    arms: tuple[Arm, ...]
    traces: tuple[Trace, ...]


@dataclass(frozen=True)
class Entry:
    """One file of a folder of rollouts.

    Attributes:
        file: its name.
        target, name, group, arms: as in `Rollouts`.
    """

    file: str
    target: str
    name: str
    group: str
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Index:
    """The files of a folder of rollouts, in order."""

    entries: tuple[Entry, ...]


def write_rollouts(folder: Path, rollouts: Sequence[Rollouts]) -> None:
    """Writes one file of JSON Lines each, and an index of them."""
    entries = tuple(
        Entry(f"{one.target}.{one.name}.jsonl", one.target, one.name, one.group, one.arms)
        for one in rollouts
    )
    for entry, one in zip(entries, rollouts, strict=True):
        traces.write(folder / entry.file, one.traces)
    reader.write_json(folder / _INDEX, Index(entries))


def read_rollouts(folder: Path) -> list[Rollouts]:
    """All rollouts of a folder, in the order in which they were written.

    Raises:
        UserError: where the index or a file is missing, or is another file.
    """
    index = reader.read_json(Index, folder / _INDEX, _CURE)
    return [
        Rollouts(
            entry.target,
            entry.name,
            entry.group,
            entry.arms,
            tuple(traces.read(Trace, folder / entry.file)),
        )
        for entry in index.entries
    ]
