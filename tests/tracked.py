"""Runs of Weights & Biases as their files on disk have them, read without its service.

A `.wandb` file is a log in LevelDB's format: blocks of 32 KiB of records with a header of 7 bytes,
whose payload is a protocol buffer of W&B's own.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

BLOCK, HEADER, FULL, LAST = 32768, 7, 1, 4


@dataclass
class Tracked:
    """What one run says.

    Attributes:
        name, job_type: of the run.
        config: its parameters.
        summary: its last numbers, by name; the parts of a nested name are joined by `/`.
        history: its steps.
        artifacts: metadata by the artifact's type and name.
    """

    name: str = ""
    job_type: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


def read_runs(folder: Path) -> dict[str, Tracked]:
    """Every run below a folder, by its name."""
    found = [_read(path) for path in sorted(folder.rglob("run-*.wandb")) if not _is_link(path)]
    assert len({run.name for run in found}) == len(found), "a run was told twice"
    return {run.name: run for run in found}


def _is_link(path: Path) -> bool:
    return any(one.is_symlink() for one in path.parents)


def _read(path: Path) -> Tracked:
    run = Tracked()
    for record in _records(path.read_bytes()):
        match record.WhichOneof("record_type"):
            case "run":
                run.name, run.job_type = record.run.display_name, record.run.job_type
                run.config |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
            case "summary":
                run.summary |= _items(record.summary.update)
            case "history":
                run.history.append(_items(record.history.item))
            case "artifact":
                told = json.loads(record.artifact.metadata or "{}")
                run.artifacts[record.artifact.type, record.artifact.name] = told
    return run


def _items(items: Any) -> dict[str, Any]:
    return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in items}


def _records(data: bytes) -> Iterator[Record]:
    at, held = HEADER, b""  # the file begins with a header of its own
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + HEADER])
        held += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in (FULL, LAST):
            record, held = Record.FromString(held), b""
            yield record
