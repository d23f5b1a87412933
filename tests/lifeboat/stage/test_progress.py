"""Progress in lines and as a bar, on standard error only."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lifeboat.stage import progress


def test_a_line_tells_done_total_rate_and_time_left() -> None:
    line = progress.line("extracting", 3000, 12_000, "tokens", 2.0)
    assert line == "extracting: 3,000 of 12,000 tokens, 1,500 tokens/s, 0:06 left"
    line = progress.line("training", 2, 10_000, "steps", 4.0)
    assert line == "training: 2 of 10,000 steps, 0.5 steps/s, 5:33:16 left"


def test_a_line_without_a_total_or_at_the_end_tells_the_time_so_far() -> None:
    assert progress.line("a", 30, None, "rows", 60.0) == "a: 30 rows, 0.5 rows/s, 1:00 so far"
    assert progress.line("a", 5, 5, "rows", 1.0) == "a: 5 of 5 rows, 5 rows/s, 0:01 so far"
    assert progress.line("a", 0, 5, "rows", 0.0) == "a: 0 of 5 rows, 0 rows/s, 0:00 so far"


def test_items_pass_through_and_the_last_line_counts_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert list(progress.track([1, 2, 3], "counting", unit="numbers")) == [1, 2, 3]
    assert list(progress.track(iter("ab"), "spelling", unit="letters")) == ["a", "b"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].startswith("counting: 3 of 3 numbers, ")
    assert err.splitlines()[1].startswith("spelling: 2 letters, ")


def test_lines_come_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    list(progress.track(range(20), "counting"))
    done = [line.split()[1] for line in capsys.readouterr().err.splitlines()]
    assert done == ["2", "10", "18", "20"]


def test_an_error_inside_shows_no_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), progress.bar("dividing", 2) as advance:
        advance(1 // 0)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar() -> None:
    program = (
        "from lifeboat.stage.progress import track\n"
        "assert list(track([1, 2], 'counting', unit='numbers')) == [1, 2]"
    )
    source = str(Path(__file__).parents[3] / "src")
    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": source, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", program], stderr=theirs, env=environment, check=True, timeout=30
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "━" in shown
    assert "counting: 2 of 2 numbers" in shown
