"""Signals, and the end of the parent, as real processes meet them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LOOP = """
import sys, time
from lifeboat.stage import interruption
interruption.install()
assert not interruption.requested()
{before}
print("ready", flush=True)
while not interruption.requested():
    time.sleep(0.01)
print("saved", flush=True)
interruption.checkpoint()
print("never", flush=True)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=sys.stdout)
print(child.pid, flush=True)
time.sleep(60)
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    source = str(Path(__file__).parents[3] / "src")
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": source},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_with_checkpoints_ends_at_the_next_one_with_code_75(number: int) -> None:
    process = start(LOOP.format(before="interruption.checkpoint()"))
    assert read_line(process) == "ready"
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (75, "saved\n")
    assert "the same command goes on" in err


def test_a_process_without_checkpoints_ends_at_once_with_code_75() -> None:
    process = start(LOOP.format(before=""))
    assert read_line(process) == "ready"
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (75, "")


WITHIN = """
import os, signal
from lifeboat.stage import interruption
interruption.install()
with interruption.at_checkpoints():
    os.kill(os.getpid(), signal.SIGTERM)
    print("waited", flush=True)
print("never", flush=True)
"""


def test_where_only_checkpoints_end_a_process_it_ends_at_the_last_one_behind_it() -> None:
    out, _err = (process := start(WITHIN)).communicate(timeout=20)
    assert (process.returncode, out) == (75, "waited\n")
    process = start(WITHIN.replace("    os.kill", "    pass  #") + "os.kill(os.getpid(), 15)\n")
    assert process.communicate(timeout=20)[0] == "waited\nnever\n"
    assert process.returncode == 75  # as before the context, at once


def test_only_a_second_interrupt_does_not_wait_for_the_checkpoint() -> None:
    endless = "interruption.checkpoint()\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)"
    process = start(LOOP.format(before=endless))
    assert read_line(process) == "ready"
    for _ in range(3):
        process.terminate()
        time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 75


def test_a_process_ends_with_its_parent() -> None:
    parent = start(PARENT, LOOP.format(before="interruption.checkpoint()"))
    lines = {read_line(parent), read_line(parent)}
    assert "ready" in lines
    parent.kill()
    assert parent.stdout is not None
    assert parent.stdout.read() == "saved\n"  # the pipe closes when the child has ended
    parent.communicate()
