"""Several processes over one store: one for each GPU or group of cores, or tasks of a cluster.

Of one machine, each computes units that nobody has claimed. Nothing is shared but the store, so
that a worker that is killed costs the unit in its hand, which another one then takes. A cluster has
a task for each unit, whose files come back.
"""

import multiprocessing
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

from backtracking.extraction.filling import Filler
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request, Unit, plan_unit
from backtracking.extraction.reuse import Shelf
from backtracking.extraction.running import open_reader
from backtracking.extraction.store import ShardStore
from backtracking.models import loading, spreading
from backtracking.models.loading import LoadedModel
from backtracking.runtime import cluster
from backtracking.runtime.compute import prepare_torch
from lifeboat.stage import artifacts, interruption
from lifeboat.stage.errors import UserError


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know, and nothing that only its parent has.

    Attributes:
        model: folder of the model.
        dtype: in which it runs.
        items: the traces.
        request: what is asked for.
        store: folder of the shards.
    """

    model: Path
    dtype: str
    items: Sequence[Item]
    request: Request
    store: Path


def helpers(
    job: Job, devices: Sequence[str]
) -> Callable[[Sequence[Unit]], AbstractContextManager[None]]:
    """For `extract`: a context in which a process on each of these devices works as well."""

    @contextmanager
    def at_work(units: Sequence[Unit]) -> Iterator[None]:
        started = _start(job, devices, units) if units else []
        try:
            yield
        except BaseException:
            for process in started:
                process.terminate()
            raise
        finally:
            for number, process in enumerate(started, start=1):
                process.join()
                if process.exitcode not in (0, interruption.EXIT_CODE):
                    _tell(number, process)

    return at_work


def on_cluster(
    model: LoadedModel, items: Sequence[Item], request: Request, store: Path
) -> Callable[[Sequence[Unit]], AbstractContextManager[None]]:
    """For `extract`: a context at whose begin a cluster computes the units."""

    @contextmanager
    def at_work(units: Sequence[Unit]) -> Iterator[None]:
        tasks = [
            cluster.Task(
                partial(files_of, model, unit.items(items), request, unit), partial(keep, store)
            )
            for unit in units
        ]
        cluster.run_tasks(tasks, request.n_threads, "extracting")
        yield

    return at_work


def files_of(
    model: LoadedModel, items: Sequence[Item], request: Request, unit: Unit
) -> list[tuple[str, bytes]]:
    """A unit's files by name, its shard first, computed where there is no store.

    Args:
        model: the model.
        items: the unit's own.
        request: what is asked for.
        unit: as it was planned where it is kept.

    Raises:
        UserError: where the model is another one here.
    """
    reader = open_reader(model, request)
    if plan_unit(items, request, reader.identity, 0, reader.formula).key != unit.key:
        raise UserError(
            f"{model.folder} on {platform.node()} is not the model that the unit was planned for.",
            "Let all machines see one folder of the project, or leave this one out.",
        )
    with tempfile.TemporaryDirectory() as folder:
        store = ShardStore(Path(folder))
        with Filler(reader, items, Shelf(store), shown=False) as filler:
            (shard,) = filler.fill([replace(unit, first=0)]).values()
        names = (shard.file, f"{unit.key}.json")
        return [(name, (store.folder / name).read_bytes()) for name in names]


def keep(store: Path, files: Sequence[tuple[str, bytes]]) -> None:
    """Puts a unit's files into a store, the record last."""
    for name, data in files:
        artifacts.write_bytes(store / name, data)


def visible_devices(device: str, folder: Path, dtype: str) -> list[str]:
    """Those of each process: every GPU of `auto` or of a list, or so many as hold the model.

    Args:
        device: as torch names it, `auto`, or a list with commas.
        folder: of the model.
        dtype: in which it runs.

    Raises:
        UserError: where all of them together do not hold it.
    """
    if len(devices := loading.devices_of(device)) == 1:
        return [device]
    found = spreading.plan(folder, devices, dtype)
    names, n = [*map(str, devices)], 1 if found is None else len(found.devices)
    return [",".join(names[at : at + n]) for at in range(0, len(names) - n + 1, n)]


def _start(job: Job, devices: Sequence[str], units: Sequence[Unit]) -> list[SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    started = []
    for number, device in enumerate(devices, start=1):
        # Each begins elsewhere, so that they seldom meet.
        first = number * len(units) // (len(devices) + 1)
        own = [*units[first:], *units[:first]]
        process = context.Process(target=_work, args=(job, device, own), daemon=True)
        process.start()
        started.append(process)
    return started


def _work(job: Job, device: str, units: Sequence[Unit]) -> None:
    interruption.install()
    prepare_torch(job.request.n_threads)
    try:
        model = loading.load(job.model, device=device, dtype=job.dtype)
        reader = open_reader(model, job.request)
        with Filler(reader, job.items, Shelf(ShardStore(job.store)), shown=False) as filler:
            filler.fill(units)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _tell(number: int, process: SpawnProcess) -> None:
    print(
        f"Worker {number} ended with code {process.exitcode}; the others computed its units.",
        file=sys.stderr,
    )
