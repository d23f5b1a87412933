"""Who sweeps what: never what somebody has in hand, on whatever machine and by whatever clock."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from refusals import refuse

from lifeboat.saving import freezing
from lifeboat.stage import artifacts, claims, temporary
from lifeboat.stage.errors import UserError
from lifeboat.stage.shelf import Shelf
from lifeboat.stage.temporary import SweptError

pytestmark = pytest.mark.kind(4)

KEY, TWO_HOURS = "ab" * 32, 7200.0

WORKER = """\
import sys, time
from pathlib import Path
from lifeboat.stage import artifacts
from lifeboat.stage.shelf import Shelf
folder, kind, key = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def wait(path):
    path.write_bytes(b"half")
    print(path.name, flush=True)
    sys.stdin.readline()
if kind == "file":
    artifacts.write_file(folder / key, wait)
elif kind == "unit":
    Shelf(folder).add(key, wait)
elif kind == "folder":
    with artifacts.new_folder(folder / key) as fresh:
        wait(fresh / "file")
"""


def age(folder: Path, seconds: float) -> None:
    """Makes all temporary files of a folder older."""
    then = time.time() - seconds
    for path in folder.glob(".*"):
        os.utime(path, (then, then))


@contextmanager
def worker(folder: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of a write."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WORKER, str(folder), kind, KEY]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout and process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def temporary_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*") if path.name != claims.FILE)


@pytest.mark.parametrize("kind", ["file", "unit", "folder"])
def test_what_another_process_has_in_hand_is_never_swept_and_what_it_leaves_is(
    tmp_path: Path, kind: str
) -> None:
    with worker(tmp_path, kind) as process:
        age(tmp_path, TWO_HOURS)
        found = temporary_files(tmp_path)
        claims.sweep(tmp_path)
        assert temporary_files(tmp_path) == found != []
        process.send_signal(signal.SIGKILL)
        process.wait()
        claims.sweep(tmp_path)
        assert temporary_files(tmp_path) == []


def test_what_another_process_has_in_hand_is_finished_after_a_sweep(tmp_path: Path) -> None:
    with worker(tmp_path, "unit") as process:
        age(tmp_path, TWO_HOURS)
        claims.sweep(tmp_path)
        process.communicate("\n")
        assert process.returncode == 0
    assert Shelf(tmp_path).find(KEY)


def in_a_file(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(artifacts.replaced(folder / "file"))


def in_a_folder(folder: Path, stack: ExitStack) -> None:
    stack.enter_context(artifacts.new_folder(folder / "out"))


def being_sent(folder: Path, stack: ExitStack) -> None:
    (folder / "sent").write_text("bytes")
    stack.enter_context(freezing.frozen(folder / "sent", folder))


@pytest.mark.parametrize("begin", [in_a_file, in_a_folder, being_sent])
def test_what_this_process_has_in_hand_is_never_swept(
    tmp_path: Path, begin: Callable[[Path, ExitStack], None]
) -> None:
    with ExitStack() as stack:
        begin(tmp_path, stack)
        age(tmp_path, TWO_HOURS)
        for path in tmp_path.glob("sending.*"):
            os.utime(path, (0, 0))
        before = sorted(os.listdir(tmp_path))
        claims.sweep(tmp_path)
        temporary.sweep(tmp_path.glob("sending.*"))
        assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("seconds", [TWO_HOURS, -TWO_HOURS, 10.0 * 365 * 86_400])
@pytest.mark.parametrize("lock", [True, False])
def test_a_machine_whose_clock_is_wrong_sweeps_by_that_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, lock: bool
) -> None:
    if not lock:
        refuse(monkeypatch, "fcntl.flock", errno.ENOSYS)
        refuse(monkeypatch, "fcntl.lockf", errno.ENOSYS)
    for name in (".young", ".old"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".old", (0, time.time() - TWO_HOURS))
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + seconds)
    claims.sweep(tmp_path)
    assert temporary_files(tmp_path) == [".young"]


def swept_at(times: int, folder: Path) -> Callable[[Path], None]:
    """Writes a file, which somebody removes meanwhile, so many times."""
    left = [times]

    def fill(path: Path) -> None:
        path.write_text("whole")
        if left[0]:
            left[0] -= 1
            for one in folder.glob(".*"):
                one.unlink()

    return fill


@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_somebody_swept_is_made_again(tmp_path: Path, times: int) -> None:
    artifacts.write_file(tmp_path / "file", swept_at(times, tmp_path))
    assert (tmp_path / "file").read_text() == "whole"
    unit = Shelf(tmp_path / "shelf").add(KEY, swept_at(times, tmp_path / "shelf"))
    assert unit.read_text() == "whole"
    assert temporary_files(tmp_path) == temporary_files(tmp_path / "shelf") == []


def test_a_file_that_is_always_swept_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="could not be written: No such file") as told:
        artifacts.write_file(tmp_path / "file", swept_at(9, tmp_path))
    assert isinstance(told.value.__cause__, SweptError)


def test_a_file_that_is_missing_elsewhere_is_not_taken_for_a_swept_one(tmp_path: Path) -> None:
    tried = []

    def fill(path: Path) -> None:
        tried.append(path)
        (tmp_path / "nowhere").read_bytes()

    with pytest.raises(UserError, match="No such file"):
        artifacts.write_file(tmp_path / "file", fill)
    assert len(tried) == 1
    assert os.listdir(tmp_path) == []
