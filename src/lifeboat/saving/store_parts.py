"""What of the store (shards, checkpoints, portions) is unfinished work, and how it gets away."""

import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lifeboat.deadlines import Deadline
from lifeboat.remotes.bucket import Bucket
from lifeboat.saving import freezing, jobs, sending
from lifeboat.saving.jobs import Job, Sent
from lifeboat.saving.partial import ACTIVATIONS, MODELS, TRACES, Part, is_there
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANK_BY_FOLDER = {"checkpoints": 0, "pairs": 0, "traces": 0}


@dataclass(frozen=True)
class Unsent:
    """A file of the store that is to be saved.

    Attributes:
        path: relative to the store.
        stage: as `Part.stage`.
        sha256: as its record says, None where it has none.
    """

    path: str
    stage: str
    sha256: str | None = None


def waiting(store: Path, held: set[str], stage_by_out: Mapping[str, str]) -> list[Unsent]:
    """Files of the store that are part of unfinished work, smallest and rarest first.

    Args:
        store: the folder of shards, checkpoints and portions.
        held: names of the shards that a finished, saved out holds.
        stage_by_out: the stages that have not finished, by their outs.
    """
    found = [
        *_checkpoints(store, stage_by_out),
        *_portions(store, stage_by_out),
        *_shards(store, held, stage_by_out),
    ]
    return sorted(found, key=lambda part: (_rank(part.path), part.path))


def send(
    store: Path,
    wanted: Iterable[Unsent],
    bucket: Bucket,
    deadline: Deadline,
    before: Iterable[Part] = (),
    arrived: Callable[[list[Part]], None] = lambda parts: None,
) -> tuple[list[Part], Sent]:
    """Sends files of the store by content; those that the remote has are only compared.

    A file that is replaced meanwhile is sent as it was when its turn came.

    Args:
        store: the folder of shards and checkpoints.
        wanted: what to send.
        bucket: where to.
        deadline: when it has to end.
        before: parts of an earlier index, which know hashes that need not be computed again.
        arrived: told all parts that are there by now, whenever one has come; one call at a time.

    Returns:
        The parts that are there now, and how the sending ended.
    """
    folder = store / ".sending"
    freezing.sweep(folder)
    parts: list[Part] = []
    telling = threading.Lock()
    md5_by_sha256 = {part.sha256: part.md5 for part in before}

    def job(unsent: Unsent) -> Job:
        def act() -> None:
            part = _send_one(store, unsent, bucket, folder, md5_by_sha256)
            with telling:
                parts.append(part)
                arrived(parts)

        path = store / unsent.path
        size = path.stat().st_size if path.is_file() else 0
        return Job(unsent.path, unsent.path, unsent.stage, _rank(unsent.path), size, act)

    sent = jobs.run([job(unsent) for unsent in wanted], deadline)
    return sorted(parts, key=lambda part: part.path), sent


@contextmanager
def alone(store: Path, deadline: Deadline) -> Iterator[None]:
    """One process at a time: the next index is written by one who has seen the last.

    Where that would take too long, or the file system has no locks, it goes on all the same.
    """
    artifacts.make_folder(store)
    descriptor = os.open(store / ".sending.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        patience = deadline.at_most(600 if deadline.is_never else deadline.left / 3)
        while not _locked(descriptor) and not patience.passed:
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _checkpoints(store: Path, stage_by_out: Mapping[str, str]) -> Iterator[Unsent]:
    """Checkpoints of models; a role's name is also that of its out."""
    models = {out: stage for out, stage in stage_by_out.items() if out.startswith(MODELS)}
    for pattern in ("checkpoints/[!.]*", "pairs/*/.cache/store/checkpoints/[!.]*"):
        yield from _of_models(store, sorted(store.glob(f"{pattern}.safetensors")), models)


def _of_models(store: Path, paths: Iterable[Path], models: Mapping[str, str]) -> Iterator[Unsent]:
    for path in paths:
        out = MODELS + path.name.split(".")[0]
        stage = models.get(out) or " or ".join(sorted(set(models.values())))
        if stage:
            yield Unsent(path.relative_to(store).as_posix(), stage)


def _portions(store: Path, stage_by_out: Mapping[str, str]) -> Iterator[Unsent]:
    """Portions of traces."""
    if stage := stage_by_out.get(TRACES):
        for path in sorted(store.glob("traces/[!.]*.jsonl")):
            yield Unsent(path.relative_to(store).as_posix(), stage)


def _shards(store: Path, held: set[str], stage_by_out: Mapping[str, str]) -> Iterator[Unsent]:
    """Shards with their records, of a stage that is not known where several are unfinished."""
    stages = {stage for out, stage in stage_by_out.items() if out.startswith(ACTIVATIONS)}
    stage = " or ".join(sorted(stages))
    if not stage:
        return
    for record in sorted((store / "activations").glob("[!.]*.json")):
        named = _shard_of(record)
        if named is not None and named[0] not in held and record.with_name(named[0]).is_file():
            yield Unsent(f"activations/{named[0]}", stage, named[1])
            yield Unsent(f"activations/{record.name}", stage)


def _shard_of(record: Path) -> tuple[str, str] | None:
    """File and hash of the shard that a record tells of; None where it is not whole."""
    try:
        value = json.loads(record.read_bytes())
        name, sha256 = value["file"], value["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_plain = isinstance(name, str) and Path(name).name == name
    return (name, sha256) if is_plain and _SHA256.fullmatch(str(sha256)) else None


def _send_one(
    store: Path, unsent: Unsent, bucket: Bucket, folder: Path, md5_by_sha256: Mapping[str, str]
) -> Part:
    if unsent.sha256:
        size, md5 = (store / unsent.path).stat().st_size, md5_by_sha256.get(unsent.sha256, "")
        known = Part(unsent.path, size, unsent.sha256, unsent.stage, md5)
        if is_there(known, bucket):
            return known
    with freezing.frozen(store / unsent.path, folder) as hashed:
        if unsent.sha256 and hashed.sha256 != unsent.sha256:
            raise UserError("it is not what its record says, and will be computed again.")
        part = Part(unsent.path, hashed.bytes, hashed.sha256, unsent.stage, hashed.md5)
        if not is_there(part, bucket):
            sending.require_arrived(hashed, bucket, part.key)
        return part


def _rank(path: str) -> int:
    return _RANK_BY_FOLDER.get(PurePosixPath(path).parts[0], 1)
