"""Units as tasks of a cluster: the bytes of one machine, whatever dies, and ends that are told."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cluster_jobs
import pytest
import ray_cluster
import tiny_models
import torch

from backtracking.models import loading
from backtracking.runtime import cluster
from backtracking.runtime.forks import run_side_by_side
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Kept, Units, kept

OUT = "results/trial"
PACKAGES = ("backtracking", "cluster_jobs")


@pytest.fixture(scope="module")
def made() -> Iterator[Any]:
    """Three machines."""
    with ray_cluster.machines() as found:
        yield found


@pytest.fixture(scope="module")
def joined(made: Any) -> Iterator[str]:
    """Their address, where all tests have the same workers: to begin one takes many seconds."""
    with ray_cluster.asked(made.address):
        yield made.address


@pytest.fixture
def address(joined: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address, which units are made at."""
    torch.set_num_threads(1)
    monkeypatch.setenv(cluster.VARIABLE, joined)
    return joined


def units_of(root: Path, jobs: Sequence[Callable[[], Any]]) -> list[Kept[Any]]:
    return [kept(Units(root, PACKAGES), OUT, job) for job in jobs]


def run(root: Path, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
    return run_side_by_side(units_of(root, jobs), 2, "trying")


def files(root: Path) -> list[str]:
    """Names of units, which have the hash of their bytes."""
    return sorted(path.name for path in (root / ".cache/store" / OUT).glob("*.safetensors"))


@pytest.mark.slow
def test_units_of_three_machines_are_those_of_one(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [partial(cluster_jobs.multiply, number) for number in range(5)]
    found = run(tmp_path / "cluster", jobs)
    monkeypatch.delenv(cluster.VARIABLE)
    assert run(tmp_path / "here", jobs) == found
    monkeypatch.setenv(cluster.VARIABLE, address)
    assert files(tmp_path / "cluster") == files(tmp_path / "here") != []
    placed = run(tmp_path, [partial(cluster_jobs.where, number, 2.0) for number in range(6)])
    assert [number for number, _node, _threads in placed] == list(range(6))
    assert len({node for _number, node, _threads in placed}) == 3
    assert {threads for _number, _node, threads in placed} == {1}


@pytest.mark.slow
def test_what_a_model_makes_in_a_worker_is_what_it_makes_here(address: str, tmp_path: Path) -> None:
    loaded = loading.load(tiny_models.save_model(tmp_path / "model", "qwen2"))
    job = partial(cluster_jobs.logits, loaded, [3, 1, 2])
    (found,) = run(tmp_path / "cluster", [job])
    assert torch.equal(found, cluster_jobs.logits(loaded, [3, 1, 2]))


@pytest.mark.slow
def test_a_machine_that_does_not_see_a_folder_gets_it_from_one_that_does(
    address: str, tmp_path: Path
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for data in (b"", b"abc" * 30_000_000, b"changed"):
        (folder / "one").write_bytes(data)
        (folder / "two").write_bytes(b"2")
        (found,) = run(tmp_path / str(len(data)), [partial(cluster_jobs.copied, str(folder))])
        assert [name for name, _size, _sum in found] == ["one", "two"]
        assert found[0][1:] == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("job", "error", "message"),
    [
        (cluster_jobs.refuse, UserError, r"^7 was found\. Give 8\.$"),
        (cluster_jobs.divide, ZeroDivisionError, "^division by zero$"),
    ],
)
def test_what_a_task_raises_is_raised_here(
    address: str, tmp_path: Path, job: Callable[[], Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        run(tmp_path, [job])
    assert type(raised.value) is error


@pytest.mark.slow
def test_a_task_that_kills_its_worker_ends_after_some_tries(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "RETRIES", 1)
    with pytest.raises(UserError, match=r"ended from outside 2 times, perhaps for lack of memory"):
        run(tmp_path, [cluster_jobs.die])


@pytest.mark.slow
def test_a_worker_with_other_code_or_versions_refuses(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = cluster.origin(("backtracking",))
    monkeypatch.setattr(cluster, "origin", lambda _packages: [*ours[:-1], "code 0"])
    with pytest.raises(UserError, match=r"has code \w{64}, and the study runs with code 0\."):
        run(tmp_path, [partial(cluster_jobs.multiply, 1)])


@pytest.mark.slow
def test_a_worker_that_finds_another_model_refuses(address: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    loaded = loading.load(tiny_models.save_model(folder, "qwen2"))
    job = partial(cluster_jobs.logits, loaded, [3, 1, 2])
    jobs = units_of(tmp_path, [job])
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    with pytest.raises(UserError, match=r"has other inputs on .*: files that it reads differ"):
        run_side_by_side(jobs, 2, "trying")


@pytest.mark.slow
def test_a_machine_that_is_killed_costs_its_units_and_they_run_elsewhere(
    address: str, made: Any, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    seen.mkdir()
    jobs = [partial(cluster_jobs.note, str(seen), number, 3.0) for number in range(6)]

    def lose() -> None:
        deadline = time.monotonic() + 120
        while (node := ray_cluster.busy(made)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        ray_cluster.kill(made, node)

    loser = threading.Thread(target=lose)
    loser.start()
    try:
        assert run(tmp_path, jobs) == list(range(6))
    finally:
        loser.join()
        ray_cluster.add(made)
    assert len(files(tmp_path)) == 6
    assert len(list(seen.iterdir())) > 6  # who had it in hand, and who had it then


SCRIPT = """
import sys
from functools import partial
from pathlib import Path
import cluster_jobs
from backtracking.runtime.forks import run_side_by_side
from lifeboat.stage import interruption
from lifeboat.stage.units import Units, kept

interruption.install()
root = Path(sys.argv[1])
units = Units(root, ("backtracking", "cluster_jobs"))
seconds = [0.0, 0.0, 600.0, 600.0, 600.0]
jobs = [partial(cluster_jobs.note, str(root), *one) for one in enumerate(seconds)]
run_side_by_side([kept(units, "results/trial", job) for job in jobs], 2, "waiting")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_who_is_asked_to_stop_takes_its_tasks_along(
    address: str, tmp_path: Path, number: signal.Signals
) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=os.environ | {"PYTHONPATH": paths}
    ) as driver:
        deadline = time.monotonic() + 120
        while len(files(tmp_path)) < 2 or len(list(tmp_path.glob("*.*"))) < 5:
            assert time.monotonic() < deadline and driver.poll() is None
            time.sleep(0.1)
        driver.send_signal(number)
        assert driver.wait(30) == 75
    workers = [int(path.suffix[1:]) for path in tmp_path.glob("[234].*")]
    while any(map(_is_alive, workers)):
        assert time.monotonic() < deadline + 30
        time.sleep(0.1)
    assert len(files(tmp_path)) == 2


def test_jobs_that_are_no_units_run_here(tmp_path: Path) -> None:
    with ray_cluster.asked("nowhere:1"):
        assert run_side_by_side([os.getpid, os.getpid], 1, "asking") == [os.getpid()] * 2
    done = units_of(tmp_path, [partial(cluster_jobs.multiply, 1)])
    here = [job() for job in done]
    with ray_cluster.asked("nowhere:1"):  # and those that are there need no cluster
        assert run_side_by_side(done, 1, "finding") == here


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("{here}", "'127.0.0.1:.*could not be reached: .*refused.*Start it"),
        ("no such place", "'no such place' could not be reached: .*Start it"),
    ],
)
def test_a_cluster_that_does_not_answer_is_named(
    tmp_path: Path, address: str, message: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = address.format(here=f"127.0.0.1:{free.getsockname()[1]}")
        with ray_cluster.asked(place), pytest.raises(UserError, match=message):
            run(tmp_path, [partial(cluster_jobs.multiply, 1)])


@pytest.mark.parametrize(
    ("n_cpus", "n_gpus", "n_bytes", "is_told"),
    [(2, 0, 0, False), (2, 0, 10**9, False), (3, 0, 0, True), (1, 1, 0, True), (1, 0, 9**10, True)],
)
def test_a_task_that_no_machine_can_have_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    n_cpus: int,
    n_gpus: int,
    n_bytes: int,
    is_told: bool,
) -> None:
    import ray

    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 2e9}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 2e12}},
    ]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    cluster.tell_if_too_small.cache_clear()
    cluster.tell_if_too_small(n_cpus, n_gpus, n_bytes)
    said = f"No machine of the cluster has {n_cpus} CPUs, {n_gpus} GPUs"
    assert (said in capsys.readouterr().err) is is_told


def test_without_ray_the_way_to_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cluster.VARIABLE, "somewhere:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"ray is not installed.*`make install` brings it"):
        run(tmp_path, [partial(cluster_jobs.multiply, 1)])


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
