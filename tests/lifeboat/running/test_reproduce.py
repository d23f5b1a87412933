import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from backtracking import PROJECT_ROOT
from lifeboat.deadlines import Deadline
from lifeboat.running import reproduce, stage_seconds
from lifeboat.running.reproduce import StageClock
from lifeboat.saving import stopping

SLEEPER = """\
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
import ctypes
ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
print("sleeping", flush=True)
time.sleep(60)
"""


def command(root: Path) -> list[str]:
    code = "from backtracking.cli import main; main()"
    return [sys.executable, "-c", code, "--root", str(root), "reproduce"]


def environment() -> dict[str, str]:
    path = f"{PROJECT_ROOT / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PYTHONPATH": path}


def test_times_come_from_the_lines_of_dvc_however_they_are_cut() -> None:
    ticks = iter([10.0, 14.0, 20.0])
    clock = StageClock(now=lambda: next(ticks))
    text = b"Stage 'z' didn't change, skipping\r\nRunning stage 'a':\n> x\nRunning stage 'b@c':\r\n"
    for byte in text:
        clock.feed(bytes([byte]))
    assert clock.seconds() == {"a": 4.0, "b@c": 6.0}
    assert not clock.stopped


def test_a_stage_that_stopped_at_a_safe_point_is_an_interruption() -> None:
    clock = StageClock()
    clock.feed(b"ERROR: failed to reproduce 'a': failed to run: python a.py, exited with 75\n")
    assert clock.stopped


@pytest.mark.kind(3)
def test_a_dvc_that_was_asked_to_end_between_two_stages_was_interrupted(project: Path) -> None:
    lock = os.open(project / ".dvc" / "tmp" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def end() -> None:
        while not stopping.runners(project):
            time.sleep(0.05)
        stopping.ask(project).wait(Deadline.after(4))

    stop = threading.Thread(target=end)
    stop.start()
    outcome = reproduce.reproduce(project, [])
    stop.join()
    os.close(lock)
    assert (outcome.code, outcome.endings[0].fact) == (75, "Interrupted.")


def test_stages_that_ran_are_listed_with_their_times_and_then_none_runs(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text()[: lock.read_text().index("  sum:")])
    outcome = reproduce.reproduce(project, ["--no-run-cache"])
    assert outcome.code == 0
    assert "Running stage 'sum':" in capfd.readouterr().out
    assert list(outcome.seconds) == ["sum"]
    assert "1 stage ran" in outcome.endings[-1].fact
    log = json.loads((project / "logs" / "reproduce.json").read_text())
    assert log["exit"] == 0
    assert list(log["seconds"]) == ["sum"]
    assert list(stage_seconds.known(project)) == ["sum"]
    outcome = reproduce.reproduce(project, [])
    assert (outcome.code, outcome.seconds) == (0, {})
    assert "Nothing ran" in outcome.endings[-1].fact


def test_a_run_that_ended_well_names_the_page_to_open(project: Path) -> None:
    contract = (
        (project / "pyproject.toml").read_text() if (project / "pyproject.toml").is_file() else ""
    )
    page = next(path for path in project.rglob("results/**/*") if path.is_file())
    named = f'[tool.lifeboat]\nopens = "{page.relative_to(project)}"\n'
    (project / "pyproject.toml").write_text(contract.replace("[tool.lifeboat]\n", "") + named)
    assert reproduce.reproduce(project, []).endings[-1].fact == f"To look at: {page}"
    page.unlink()
    (project / "dvc.yaml").write_text("stages: [\n")
    assert not any("To look at" in one.fact for one in reproduce.reproduce(project, []).endings)


def test_a_failing_stage_fails_with_its_own_words(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace("mkdir -p results/sum", "echo too bad; exit 3"))
    outcome = reproduce.reproduce(project, [])
    assert outcome.code == 1
    assert outcome.endings[-1].verdict == "wrong"
    assert "failed" in outcome.endings[-1].fact
    assert "too bad" in capfd.readouterr().out
    assert "sum" not in stage_seconds.known(project)


def test_a_terminated_run_ends_its_stage_and_exits_75(project: Path) -> None:
    (project / "sleeper.py").write_text(SLEEPER)
    text = (project / "dvc.yaml").read_text()
    sleep = f"exec {sys.executable} sleeper.py"
    (project / "dvc.yaml").write_text(text.replace("mkdir -p results/sum &&", f"{sleep} #"))
    with subprocess.Popen(
        command(project), stdout=subprocess.PIPE, text=True, env=environment()
    ) as child:
        assert child.stdout is not None
        assert any("sleeping" in line for line in child.stdout)
        child.send_signal(signal.SIGTERM)
        rest = child.stdout.read()
        assert child.wait() == 75
    assert "Interrupted." in rest and "Run it again" in rest
    assert "sum" in rest


def test_on_a_terminal_the_stages_have_one_too(project: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(
        text.replace("mkdir -p results/sum", "test -t 1 && echo really && mkdir -p results/sum")
    )
    child, descriptor = pty.fork()
    if child == 0:
        os.execve(sys.executable, command(project), environment())
    said, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            chunk = os.read(descriptor, 4096)
        except OSError:
            break
        said += chunk
    _, status = os.waitpid(child, 0)
    os.close(descriptor)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    assert b"really" in said
    assert b"1 stage ran" in said


@pytest.mark.parametrize("said", ["75", "-15", "-2", "130", "143"])
def test_a_stage_that_a_signal_ended_is_an_interruption(said: str) -> None:
    clock = reproduce.StageClock()
    clock.feed(f"ERROR: failed to reproduce 'a': failed to run: x, exited with {said}\n".encode())
    assert clock.stopped
    for other in ("1", "152", "-9", "-11"):
        clock = reproduce.StageClock()
        clock.feed(f"ERROR: failed to run: x, exited with {other}\n".encode())
        assert not clock.stopped
