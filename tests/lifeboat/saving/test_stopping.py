import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline
from lifeboat.saving import stopping

STAGE = """\
import signal, subprocess, sys, time
def end(*_):
    time.sleep(float(sys.argv[2]))
    worker.kill()
    sys.exit(75)
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
signal.signal(signal.SIGTERM, end)
open("running." + sys.argv[1], "w").close()
time.sleep(30)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose stage takes a while to stop, and has a worker of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def start(root: Path) -> Iterator:
    """Starts a stage that takes so many seconds to stop, in a folder, as DVC does."""
    started = []

    def begin(role: str, seconds: float, folder: Path = root, of: Path = root) -> subprocess.Popen:
        own = {"DVC_ROOT": str(of), "DVC_STAGE": f"extract@{role}"}
        command = f"{sys.executable} -c '{STAGE}' {role} {seconds}; exit $?"
        started.append(subprocess.Popen(["sh", "-c", command], cwd=folder, env=os.environ | own))
        while not (folder / f"running.{role}").exists():
            time.sleep(0.02)
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_running_stages_of_this_project_stop_and_others_do_not(
    root: Path, tmp_path: Path, start
) -> None:
    queued = root / ".dvc" / "tmp" / "exps" / "one"
    queued.mkdir(parents=True)
    other = tmp_path / "another"
    other.mkdir()
    ours = [start("base", 0.3), start("reasoning", 0.0, queued)]
    foreign = start("base", 0.0, other, other)
    names = [name for _process, name in stopping.stages(root)]
    assert sorted(names) == ["extract@base", "extract@reasoning"]
    found = stopping.ask(root).wait(Deadline.after(100))
    assert [process.wait() for process in ours] == [75, 75]
    assert foreign.poll() is None
    assert [item.verdict for item in found] == ["ok"]
    assert "extract@base, extract@reasoning" in found[0].fact
    stopping.ask(other).wait(Deadline.after(100))


def test_what_does_not_stop_in_time_is_named_and_not_killed(root: Path, start) -> None:
    late = start("base", 20.0)
    found = stopping.ask(root).wait(Deadline.after(0.3))
    assert [item.verdict for item in found] == ["warning"]
    assert "Still running when the time for it was up: extract@base" in found[0].fact
    assert late.poll() is None
    for process, _name in stopping.stages(root):
        process.kill()


def test_where_nothing_runs_nothing_is_waited_for(root: Path) -> None:
    assert stopping.ask(root).wait(Deadline())[0].fact == "No stage was running."


SHORT = """\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
open(sys.argv[1], "w").close()
time.sleep(0.5)
"""


@pytest.fixture
def pipeline(project: Path) -> Path:
    """A project of eight short stages, each after the one before."""
    (project / "short.py").write_text(SHORT)
    text, before = "stages:\n", "short.py"
    for n in range(8):
        text += f"  s{n}:\n    cmd: exec {sys.executable} short.py s{n}\n"
        text += f"    deps: [{before}]\n    outs: [s{n}]\n"
        before = f"s{n}"
    (project / "dvc.yaml").write_text(text)
    return project


def between_two_stages(root: Path, *command: str) -> tuple[subprocess.Popen[bytes], int]:
    """A DVC that has run a stage, and a descriptor; until that is closed it begins no other."""
    run = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (root / "s0").exists():
        time.sleep(0.02)
    lock = os.open(root / ".dvc" / "tmp" / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    while stopping.stages(root):
        time.sleep(0.05)
    return run, lock


DVC = (sys.executable, "-m", "dvc", "--wait-for-lock")
BETWEEN: dict[str, tuple[tuple[str, ...], bool, str, set[int]]] = {
    "repro": ((*DVC, "repro"), True, "Stopped where their work is saved: s1.", {1, 255}),
    "one that begins none": ((*DVC, "repro"), False, "ended between two", {-signal.SIGTERM}),
    "one that goes on": ((*DVC, "repro", "--keep-going"), True, "is saved: s1.", {1, 255}),
    "an experiment": ((*DVC, "exp", "run"), True, "Stopped where", {1, 255}),
}
"""DVC between two stages: how it was called, whether it begins one, what is said, how it ends."""


@pytest.mark.kind(3)
@pytest.mark.parametrize("member", BETWEEN)
def test_a_stop_between_two_stages_stops_dvc(pipeline: Path, member: str) -> None:
    command, goes_on, said, codes = BETWEEN[member]
    run, lock = between_two_stages(pipeline, *command)
    asked = stopping.ask(pipeline)
    if goes_on:
        os.close(lock)
    found = asked.wait(Deadline.after(60 if goes_on else 2))
    assert run.wait(10) in codes
    assert said in found[0].fact
    assert [item.verdict for item in found] == ["ok"]
    assert not (pipeline / "s3").exists()
    if not goes_on:
        os.close(lock)


def test_a_dvc_of_another_project_is_left_alone(pipeline: Path, tmp_path: Path) -> None:
    run, lock = between_two_stages(pipeline, *DVC, "repro")
    assert stopping.runners(tmp_path) == []
    assert stopping.ask(tmp_path).wait(Deadline())[0].fact == "No stage was running."
    run.terminate()
    run.wait()
    os.close(lock)
