"""Independent jobs side by side, each in a fork of this process.

Small models keep one core busy and no more: their operations are too short to be shared out among
threads. So the cores share out jobs, each on one thread. A fork sees the models and inputs of its
parent without a copy. What a job gives does not depend on how many run at once. A process that has
used a GPU cannot be forked, and one GPU gains nothing by it: there, ask for one at a time.
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

from backtracking import interruption, progress
from backtracking.errors import UserError

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

        from backtracking.compute import prepare_torch

        prepare_torch(self.n_threads)
        on_cpu = self.device == "cpu" or (self.device == "auto" and not torch.cuda.is_available())
        return self.n_processes if on_cpu else 1


def run_side_by_side(jobs: Sequence[Callable[[], R]], n_at_once: int, description: str) -> list[R]:
    """What each job returns, in their order; with one at a time, all run in this very process.

    Jobs begin in their order, so the longest ones belong first.

    Args:
        jobs: functions without arguments, whose results can be pickled.
        n_at_once: processes at a time.
        description: what is done, in a few words, for the progress.

    Raises:
        UserError: where a job's process was killed. What a job raises is raised here, and ends the
            other jobs.
    """
    if n_at_once == 1:
        return [job() for job in progress.track(jobs, description, unit="parts")]
    waiting = list(enumerate(jobs))
    running: dict[Connection, tuple[int, ForkProcess]] = {}
    results: dict[int, R] = {}
    try:
        with progress.bar(description, len(jobs), "parts") as advance:
            while waiting or running:
                while waiting and len(running) < n_at_once:
                    number, job = waiting.pop(0)
                    receiver, process = _start(job)
                    running[receiver] = (number, process)
                for receiver in multiprocessing.connection.wait(list(running)):
                    assert isinstance(receiver, Connection)
                    number, process = running[receiver]
                    results[number] = _receive(receiver, process)
                    del running[receiver]
                    advance(1)
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()
    return [results[number] for number in range(len(jobs))]


def _start(job: Callable[[], R]) -> tuple[Connection, ForkProcess]:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sender))
    with warnings.catch_warnings():
        # Python 3.12 warns of threads. Those of numerical libraries are idle here, and a fork of
        # one thread starts none.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    sender.close()
    return receiver, process


def _work(job: Callable[[], R], sender: Connection) -> None:
    """One job, in its fork: sends its result, or what it raised."""
    import torch

    interruption.install()
    torch.set_num_threads(1)
    with progress.silence():
        try:
            outcome: tuple[R | None, Exception | None] = (job(), None)
        except Exception as error:
            outcome = (None, error)
        # As bytes: torch would send a tensor as a handle on memory that goes with this process.
        sender.send_bytes(pickle.dumps(outcome))


def _receive(receiver: Connection, process: ForkProcess) -> Any:
    try:
        result, error = pickle.loads(receiver.recv_bytes())
    except EOFError:
        process.join()
        raise UserError(
            f"A part of the work was ended from outside (exit code {process.exitcode}), perhaps "
            "for lack of memory.",
            "Run it again, with fewer `n_processes` in params.yaml.",
        ) from None
    finally:
        receiver.close()
    process.join()
    if error is not None:
        raise error
    return result
