"""Several processes over one store: the same bytes, and a killed one costs only its unit."""

import dataclasses
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path

import pytest
from extraction.conftest import FLOOR, REQUEST, Run
from extraction_helpers import contents, in_child, write_traces

from backtracking.activations.reader import ActivationStore
from backtracking.extraction import engine, workers
from backtracking.extraction.items import Item, TraceFile
from backtracking.extraction.planning import Unit, plan_unit
from backtracking.extraction.running import open_reader
from backtracking.extraction.store import ShardStore
from backtracking.models import spreading
from backtracking.models.cards import Size
from backtracking.models.loading import LoadedModel
from backtracking.runtime import cluster
from lifeboat.stage.errors import UserError


@pytest.fixture
def traces(items: list[Item], tmp_path: Path) -> TraceFile:
    return write_traces(items, tmp_path)


@pytest.fixture
def job(model_folder: Path, traces: TraceFile, tmp_path: Path) -> workers.Job:
    return workers.Job(model_folder, "float32", traces, REQUEST, tmp_path / "store")


def left_to_others(job: workers.Job, n: int, seconds: float = 60) -> engine.Helpers:
    """Helpers, with this process held back until they have finished `n` units."""
    start = workers.helpers(job, ["cpu"])

    @contextmanager
    def at_work(units: Sequence[Unit]) -> Iterator[None]:
        with start(units):
            deadline = time.monotonic() + seconds
            while len(ShardStore(job.store).records()) < n + 1:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield

    return at_work


@pytest.mark.slow
def test_a_worker_computes_the_same_bytes_as_one_process_alone(
    model: LoadedModel,
    job: workers.Job,
    run: Run,
    tmp_path: Path,
) -> None:
    alone = run(at="alone")
    done = engine.extract(
        model, job.items, REQUEST, store=job.store, out=tmp_path / "out", floor=FLOOR,
        helpers=left_to_others(job, alone.n_units - 1),
    )  # fmt: skip
    assert done.n_computed == alone.n_units
    assert contents(tmp_path / "out") == contents(tmp_path / "outalone")


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_unit(
    model: LoadedModel,
    job: workers.Job,
    run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(at="alone")
    start = left_to_others(job, 1)

    @contextmanager
    def killed(units: Sequence[Unit]) -> Iterator[None]:
        with start(units):
            for child in active_children():
                os.kill(child.pid or 0, signal.SIGKILL)
            yield

    engine.extract(
        model, job.items, REQUEST, store=job.store, out=tmp_path / "out", floor=FLOOR,
        helpers=killed,
    )  # fmt: skip
    assert "Worker 1 ended with code -9; the others computed its units." in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(tmp_path / "outalone")


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_told_of_and_missed_by_nobody(
    model: LoadedModel, job: workers.Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dataclasses.replace(job, model=tmp_path / "nowhere")
    engine.extract(
        model, job.items, REQUEST, store=job.store, out=tmp_path / "out", floor=FLOOR,
        helpers=workers.helpers(broken, ["cpu"]),
    )  # fmt: skip
    assert "Worker 1 ended with code 1" in capsys.readouterr().err
    ActivationStore(tmp_path / "out").verify()


def elsewhere(tasks: Sequence[cluster.Task], *_: object) -> None:
    """Runs tasks as workers of a cluster get them, the last one first."""
    for task in reversed(tasks):
        task.keep(pickle.loads(cluster.packed(task.make)[0])())


def test_units_of_a_cluster_have_the_bytes_of_one_process_alone(
    model: LoadedModel,
    job: workers.Job,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(at="alone")
    monkeypatch.setattr(cluster, "run_tasks", elsewhere)
    helpers = workers.on_cluster(model, job.items, REQUEST, job.store)
    out = tmp_path / "out"
    engine.extract(
        model, job.items, REQUEST, store=job.store, out=out, floor=FLOOR, helpers=helpers
    )
    assert contents(out) == contents(tmp_path / "outalone")


def test_a_worker_of_a_cluster_that_finds_another_model_refuses(
    model: LoadedModel, job: workers.Job, items: list[Item]
) -> None:
    identity = open_reader(model, REQUEST).identity | {"model_sha256": "another"}
    unit = plan_unit(items, REQUEST, identity, 0)
    with pytest.raises(UserError, match="is not the model that the unit was planned for"):
        workers.files_of(model, items, REQUEST, unit)


def test_a_unit_is_claimed_by_one_process_and_given_back_when_it_dies(tmp_path: Path) -> None:
    store = ShardStore(tmp_path / "store")
    ready = tmp_path / "ready"

    def hold() -> None:
        assert ShardStore(tmp_path / "store").claim("unit")
        ready.touch()
        time.sleep(60)

    waiting = threading.Thread(target=in_child, args=(hold, 2.0))
    waiting.start()
    while not ready.exists():
        time.sleep(0.01)
    assert not store.claim("unit")
    assert store.claim("another")
    waiting.join()
    assert store.claim("unit")
    store.close()


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [
        ("cpu", 3, ["cpu"]),
        ("cuda:1", 3, ["cuda:1"]),
        ("auto", 9, ["cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4"]),
        ("auto", 6, ["cuda:0,cuda:1", "cuda:2,cuda:3"]),
        ("auto", 3, ["cuda:0,cuda:1,cuda:2"]),
        ("cuda:4,cuda:2", 6, ["cuda:4,cuda:2"]),
    ],
)
def test_auto_is_a_process_on_every_gpu_or_on_so_many_as_hold_the_model(
    device: str,
    free: int,
    expected: list[str],
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 5)
    monkeypatch.setattr(spreading, "free_bytes", lambda _device: free)
    monkeypatch.setattr(spreading, "size_of", lambda *_: Size((3, 3, 3), 0))
    assert workers.visible_devices(device, model_folder, "float32") == expected
