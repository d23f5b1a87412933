"""Jobs side by side: the same results as in turn, and ends that leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch

from backtracking.runtime.forks import Cores, run_side_by_side
from lifeboat.stage.errors import UserError


def multiply(number: int, seconds: float = 0.0) -> tuple[int, float, int]:
    """Something computed by torch, and the process that did."""
    time.sleep(seconds)
    generator = torch.Generator().manual_seed(number)
    product = torch.randn(40, 40, generator=generator) @ torch.randn(40, 40, generator=generator)
    return number, float(product.sum()), os.getpid()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_results_are_those_of_jobs_in_turn_in_the_order_of_the_jobs() -> None:
    jobs = [partial(multiply, number, 0.05 * (4 - number)) for number in range(5)]
    in_turn, side_by_side = (run_side_by_side(jobs, n, "multiplying") for n in (1, 2))
    assert [one[:2] for one in side_by_side] == [one[:2] for one in in_turn]
    assert {one[2] for one in in_turn} == {os.getpid()}
    assert len({one[2] for one in side_by_side} - {os.getpid()}) == 2


def test_a_large_result_comes_back_whole() -> None:
    (found, _) = run_side_by_side([lambda: torch.ones(3_000_000), lambda: None], 2, "filling")
    assert found is not None and float(found.sum()) == 3_000_000


def test_forks_say_nothing_when_all_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    run_side_by_side([partial(multiply, 1), partial(multiply, 2), partial(multiply, 3)], 2, "done")
    assert "nterrupted" not in capfd.readouterr().err


def refuse() -> None:
    """A job that ends in an error that users read."""
    raise UserError("Expected a model, found none.", "Train one.")


def test_what_a_job_raises_is_raised_here_and_ends_the_others_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=r"Expected a model, found none\. Train one\."):
        run_side_by_side([partial(multiply, 1, 60.0), refuse, partial(multiply, 2)], 2, "failing")
    assert time.monotonic() - started < 30


def test_a_job_that_is_killed_is_told_of_in_words() -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match=r"ended from outside \(exit code -9\).*n_processes"):
        run_side_by_side([die, partial(multiply, 1)], 2, "dying")


SCRIPT = """
import os, time
from lifeboat.stage import interruption
from backtracking.runtime.forks import run_side_by_side

def wait():
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: two processes write
    time.sleep(60)

interruption.install()
run_side_by_side([wait, wait], 2, "waiting")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_forks_end_with_their_parent(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True) as one:
        assert one.stdout is not None
        forks = [int(one.stdout.readline()) for _ in range(2)]
        one.send_signal(number)
        code = one.wait(30)
    assert code == (75 if number == signal.SIGTERM else -9)
    deadline = time.monotonic() + 30
    while any(map(_is_alive, forks)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_alive, forks))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Cores(0, 1, "cpu"), "must be 1 or more"),
        (lambda: Cores(2, 2, "cpu"), "n_processes 2 and n_threads 2: one has to be 1"),
    ],
)
def test_cores_that_cannot_be_had_are_refused(build: Callable[[], Cores], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_one_part_at_a_time_runs_on_a_gpu() -> None:
    assert [Cores(2, 1, device).begin() for device in ("cpu", "cuda")] == [2, 1]
    torch.use_deterministic_algorithms(False)


def _is_alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
