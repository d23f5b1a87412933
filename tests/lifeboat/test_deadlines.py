import subprocess
import threading
import time
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline, Later, call, seconds_of, within
from lifeboat.stage.errors import UserError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), (" 2m ", 120), ("1.5h", 5400), ("0.5s", 0.5)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3s", "soon", "90 s s", "1d", "nan", "inf"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="Expected a duration"):
        seconds_of(text)


def test_what_hangs_is_left_behind_at_the_deadline() -> None:
    release = threading.Event()
    with pytest.raises(UserError, match="waiting: no end within the time"):
        within(Deadline.after(0.2), "waiting", lambda: release.wait(600))
    release.set()


def test_results_and_errors_come_through() -> None:
    assert within(Deadline.after(5), "adding", lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        within(Deadline(), "dividing", lambda: 1 // 0)


def test_a_child_is_killed_with_its_own_children(tmp_path: Path) -> None:
    inner = "touch began; sleep 654"
    done = call(["sh", "-c", f"sh -c '{inner}' & wait"], tmp_path, Deadline.after(2))
    assert done.returncode == 124
    assert (tmp_path / "began").exists()
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert "sleep 654" not in listed


def test_deadlines_leave_time_for_what_comes_after() -> None:
    assert Deadline().sooner(10).is_never
    assert Deadline.after(5).sooner(10).passed
    assert 9 < Deadline.after(100).at_most(10).left <= 10
    assert 4 < Deadline.after(5).at_most(10).left <= 5


def test_an_answer_is_waited_for_until_the_deadline_and_no_longer() -> None:
    assert Later(lambda: 3).before(Deadline.after(10)) == 3
    slow = Later(lambda: time.sleep(0.5))
    begin = time.monotonic()
    assert slow.before(Deadline.after(0.05)) is None
    assert time.monotonic() - begin < 0.4


def test_an_error_is_raised_where_the_answer_is_asked_for() -> None:
    def fail() -> int:
        raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        Later(fail).before(Deadline.after(10))
