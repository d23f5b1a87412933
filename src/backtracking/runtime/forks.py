"""Independent jobs side by side, in forks of this process that take one after the other.

Small models keep one core busy and no more: their operations are too short to be shared out among
threads. So the cores share out jobs, each on one thread. A fork sees the models and inputs of its
parent without a copy; a fork a job would cost a tenth of a second each. What a job gives does not
depend on how many run at once. A process that has used a GPU cannot be forked, and one GPU gains
nothing by it: there, ask for one at a time.
"""

import multiprocessing
import multiprocessing.connection
import pickle
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

from backtracking.runtime.cluster import make_units
from lifeboat.stage import interruption, progress
from lifeboat.stage.errors import UserError

R = TypeVar("R")


@dataclass(frozen=True)
class Cores:
    """What a stage computes on.

    Attributes:
        n_processes: parts of the work at a time, each in a process of its own with one thread; on a
            GPU one part runs at a time, whatever is asked for.
        n_threads: CPU threads of the one process where there is one.
        device: as torch names it, or `auto`.
    """

    n_processes: int
    n_threads: int
    device: str

    def __post_init__(self) -> None:
        if min(self.n_processes, self.n_threads) < 1:
            raise ValueError("n_processes and n_threads must be 1 or more.")
        if self.n_processes > 1 and self.n_threads > 1:
            raise ValueError(
                f"n_processes {self.n_processes} and n_threads {self.n_threads}: one has to be 1."
            )

    def begin(self) -> int:
        """Sets torch's threads; returns how many parts may run at a time."""
        import torch

        from backtracking.runtime.compute import prepare_torch

        prepare_torch(self.n_threads)
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        return self.n_processes if on_cpu else 1


def run_side_by_side(jobs: Sequence[Callable[[], R]], n_at_once: int, description: str) -> list[R]:
    """What each job returns, in their order; with one at a time, all run in this very process.

    Jobs begin in their order, so the longest ones belong first. Where a cluster is asked for, those
    that are units are made there first.

    Args:
        jobs: functions without arguments, whose results can be pickled.
        n_at_once: processes at a time.
        description: what is done, in a few words, for the progress.

    Raises:
        UserError: where a job's process was killed. What a job raises is raised here, and ends the
            other jobs.
    """
    if make_units(jobs, _n_threads(n_at_once), description):
        return [job() for job in jobs]
    if n_at_once == 1:
        return [job() for job in progress.track(jobs, description, unit="parts")]
    waiting = list(range(len(jobs)))[::-1]
    running: dict[Connection, int] = {}
    results: dict[int, R] = {}
    forks = [_start(jobs) for _ in range(min(n_at_once, len(jobs)))]
    process_of = dict(forks)
    try:
        with progress.bar(description, len(jobs), "parts") as advance:
            for pipe in process_of:
                running[pipe] = _give(pipe, waiting)
            while running:
                for pipe in multiprocessing.connection.wait(list(running)):
                    assert isinstance(pipe, Connection)
                    results[running.pop(pipe)] = _receive(pipe, process_of[pipe])
                    if waiting:
                        running[pipe] = _give(pipe, waiting)
                    advance(1)
        for pipe in process_of:
            pipe.send(None)
    except BaseException:
        for process in process_of.values():
            process.kill()  # jobs keep nothing on disk, so there is nothing to put away
        raise
    finally:
        for pipe, process in forks:
            process.join()
            pipe.close()
    return [results[number] for number in range(len(jobs))]


def _n_threads(n_at_once: int) -> int:
    """CPU threads of a job: one where there are several processes, else those of this one."""
    import torch

    return 1 if n_at_once > 1 else torch.get_num_threads()


def _start(jobs: Sequence[Callable[[], R]]) -> tuple[Connection, ForkProcess]:
    """A fork that does the jobs whose numbers it is given until it is given None, and its pipe."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(jobs, theirs))
    with warnings.catch_warnings():
        # Python 3.12 warns of threads. Those of numerical libraries are idle here, and a fork of
        # one thread starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    return ours, process


def _give(pipe: Connection, waiting: list[int]) -> int:
    """Sends a fork the number of the next job."""
    number = waiting.pop()
    pipe.send(number)
    return number


def _work(jobs: Sequence[Callable[[], R]], pipe: Connection) -> None:
    """Jobs in their fork: sends each one's result, or what it raised."""
    import torch

    interruption.install()
    torch.set_num_threads(1)
    with progress.silence():
        while (number := pipe.recv()) is not None:
            try:
                outcome: tuple[R | None, Exception | None] = (jobs[number](), None)
            except Exception as error:
                outcome = (None, error)
            # As bytes: torch would send a tensor as a handle on memory that goes with this process.
            pipe.send_bytes(pickle.dumps(outcome))


def _receive(pipe: Connection, process: ForkProcess) -> Any:
    try:
        result, error = pickle.loads(pipe.recv_bytes())
    except (EOFError, ConnectionResetError):
        process.join()
        raise UserError(
            f"A part of the work was ended from outside (exit code {process.exitcode}), perhaps "
            "for lack of memory.",
            "Run it again, with fewer `n_processes` in params.yaml.",
        ) from None
    if error is not None:
        raise error
    return result
