import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backtracking.operations.checks import limited
from backtracking.operations.checks.limited import Later


def test_an_answer_is_waited_for_until_the_deadline_and_no_longer() -> None:
    later = Later(lambda: 3)
    assert later.before(time.monotonic() + 10) == 3
    slow = Later(lambda: time.sleep(0.5))
    begin = time.monotonic()
    assert slow.before(begin + 0.05) is None
    assert time.monotonic() - begin < 0.4


def test_an_error_is_raised_where_the_answer_is_asked_for() -> None:
    def fail() -> int:
        raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        Later(fail).before(time.monotonic() + 10)


def test_a_child_says_what_it_has_to_say(tmp_path: Path) -> None:
    done = limited.run(["sh", "-c", "echo $A; pwd; exit 3"], tmp_path, 10.0, {"A": "extra"})
    assert (done.returncode, done.stdout.split()) == (3, ["extra", str(tmp_path)])


def test_a_child_that_hangs_ends_with_all_that_it_started(tmp_path: Path) -> None:
    script = "echo first; sleep 60 & echo $! > child; wait"
    begin = time.monotonic()
    done = limited.run(["sh", "-c", script], tmp_path, 0.5)
    assert time.monotonic() - begin < 5
    assert done.returncode < 0
    assert done.stdout == "first\n"
    grandchild = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while _runs(grandchild) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(grandchild)


def _runs(process: int) -> bool:
    if sys.platform != "linux":
        return subprocess.run(["kill", "-0", str(process)], check=False).returncode == 0
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not-there"):
        limited.run([os.fspath(tmp_path / "not-there")], tmp_path, 1.0)
