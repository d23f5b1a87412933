"""Units as tasks of a Ray cluster: made on any of its machines, kept by the process that asked.

A worker gets code, functions and inputs from here; models and activations it reads from their
folders (`runtime.fetching`). What it made comes back as bytes. So a machine that is lost costs the
tasks in its hands, which run elsewhere, and a store is written by one process, whatever lies below.
"""

import contextlib
import functools
import io
import os
import pickle
import platform
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backtracking.runtime import fetching
from lifeboat.stage import interruption, names, progress
from lifeboat.stage.errors import UserError
from lifeboat.stage.units import Kept, Units, origin

VARIABLE = "BACKTRACKING_RAY"
"""Where stages find the address of the cluster, as `ray.init` takes it; unset or empty without."""

LOCAL = "local"
"""The address of a cluster of this machine alone, which each stage starts for itself."""

RETRIES = 20
"""Machines and workers that a task may lose before it is taken to be what kills them."""

_OURS = ("backtracking", "lifeboat")
_IN_FLIGHT = 256
_POLL_S = 0.5
_ANSWER_S = 10.0


@dataclass(frozen=True)
class Task:
    """Work for any machine.

    Attributes:
        make: of functions that our modules define and inputs that can be pickled.
        keep: called here with what it returned.
    """

    make: Callable[[], Any]
    keep: Callable[[Any], object]


def ask_for(address: str) -> None:
    """Has the stages that this process starts make their units on a cluster.

    Raises:
        UserError: as `connected`.
    """
    os.environ[VARIABLE] = address
    with connected() as ray:
        ray.shutdown()


def is_asked() -> bool:
    """Whether units are to be made on a cluster."""
    return bool(os.environ.get(VARIABLE))


def make_units(jobs: Sequence[Callable[[], Any]], n_threads: int, description: str) -> bool:
    """Makes those units of jobs on the cluster that are not there; returns whether all are then.

    Without a cluster nothing is done, nor where a job is no unit (`lifeboat.stage.units.Kept`).

    Args:
        jobs: those that take longest first.
        n_threads: CPU threads of each.
        description: what is done, in a few words, for the progress.

    Raises:
        UserError: as `run_tasks`. What a job raises is raised here.
    """
    units = [job for job in jobs if isinstance(job, Kept)]
    if not is_asked() or len(units) < len(jobs):
        return False
    missing = {(one.out, one.key): one for one in units if not one.units.has(one.out, one.key)}
    run_tasks([_task(one) for one in missing.values()], n_threads, description)
    return True


def _task(kept: Kept[Any]) -> Task:
    packages = kept.units.types.packages
    make = functools.partial(_bytes_of, packages, kept.key, kept.job, kept.inputs)
    return Task(make, functools.partial(kept.units.add, kept.out, kept.key))


def _bytes_of(
    packages: tuple[str, ...], key: str, job: Callable[[], Any], inputs: tuple[Any, ...]
) -> bytes:
    return Units(Path(), packages).bytes_of(key, job, *inputs)


def run_tasks(tasks: Sequence[Task], n_threads: int, description: str) -> None:
    """Runs tasks on the cluster, and keeps what each returns as it arrives.

    A task has `n_threads` CPUs, a GPU where this process uses one, and the memory of the weights
    that it names. One whose worker or machine dies runs again.

    Args:
        tasks: begun in this order.
        n_threads: CPU threads of each.
        description: what is done, in a few words, for the progress.

    Raises:
        UserError: where the cluster cannot be reached; where a worker has other code or other
            versions than this process; where a task was killed too often. What a task raises is
            raised here, and ends the others.
        SystemExit: with code 75, when the process was asked to stop.
    """
    if not tasks:
        return
    waiting, running = list(tasks)[::-1], dict[Any, Task]()
    with (
        interruption.at_checkpoints(),
        connected() as ray,
        progress.bar(description, len(tasks), "parts") as advance,
    ):
        try:
            while waiting or running:
                while waiting and len(running) < _IN_FLIGHT:
                    task = waiting.pop()
                    running[_send(ray, task, n_threads)] = task
                done, _ = ray.wait(list(running), timeout=_POLL_S)
                interruption.checkpoint()
                for one in done:
                    running[one].keep(_received(ray, one))
                    del running[one]
                    advance(1)
        finally:
            with contextlib.suppress(Exception):  # what ended the rest counts
                for one in running:
                    ray.cancel(one, force=True)


@contextlib.contextmanager
def connected() -> Iterator[Any]:
    """A context with the module `ray`, connected to the cluster; the connection stays.

    Raises:
        UserError: where ray is not installed, or the cluster cannot be reached.
    """
    address = os.environ.get(VARIABLE, "")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UserError(
            f"Units were asked to run on the cluster {address!r}, and ray is not installed.",
            "`make install` brings it, as `requirements.lock` holds it; or leave --ray out.",
        ) from None
    if not ray.is_initialized():
        ours = signal.getsignal(signal.SIGTERM)
        try:
            if found := re.fullmatch(r"(?:ray://)?(.+):(\d+)", address):
                # ray itself asks for minutes
                socket.create_connection((found[1], int(found[2])), _ANSWER_S).close()
            _connect(ray, address)
        except Exception as error:  # whatever a strange address brings about
            said = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"The cluster {address!r} could not be reached: {said}",
                "Start it (`ray start --head`) and give --ray its address, HOST:PORT of the head.",
            ) from None
        finally:
            signal.signal(signal.SIGTERM, ours)  # ray takes it
    yield ray


def _connect(ray: Any, address: str) -> None:
    """Connects this process; its workers get the packages that run here."""
    package = Path(__file__).parents[1]
    folders = [str(package.with_name(name)) for name in _OURS]
    environment = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    ray.init(
        address,
        runtime_env={
            "py_modules": folders,
            "excludes": ["**/__pycache__"],
            "env_vars": environment,
        },
        log_to_driver=False,
        logging_level="ERROR",
        **({"include_dashboard": False} if address == LOCAL else {}),
    )


def packed(work: Callable[[], Any]) -> tuple[bytes, int]:
    """Work as bytes, and the memory that what it reads from its folders takes, in bytes."""
    data = io.BytesIO()
    pickler = _Pickler(data)
    pickler.dump(work)
    return data.getvalue(), pickler.n_bytes


def _send(ray: Any, task: Task, n_threads: int) -> Any:
    """Gives a task to the cluster; a reference to what it will return."""
    data, n_bytes = packed(task.make)
    torch = sys.modules.get("torch")
    has_gpu = torch is not None and torch.cuda.is_initialized()
    wanted = {"num_cpus": n_threads, "num_gpus": int(has_gpu), "memory": n_bytes}
    tell_if_too_small(*wanted.values())
    home = ray.get_runtime_context().get_node_id()
    options = {**wanted, "memory": n_bytes or None, "max_retries": RETRIES}
    return _remote().options(**options).remote(data, n_threads, origin(_OURS), home)


@functools.cache
def _remote() -> Any:
    """`_work` as Ray has it: one function, which it sends to a worker once."""
    import ray

    return ray.remote(_work)


@functools.cache
def tell_if_too_small(n_cpus: int, n_gpus: int, n_bytes: int) -> None:
    """Says on standard error, once, that no machine of the cluster can have such a task now."""
    import ray

    wanted = {"CPU": n_cpus, "GPU": n_gpus, "memory": n_bytes}
    for node in ray.nodes():
        has = node["Resources"]
        if node["Alive"] and all(has.get(name, 0) >= n for name, n in wanted.items()):
            return
    print(
        f"No machine of the cluster has {n_cpus} CPUs, {n_gpus} GPUs and {n_bytes / 1e9:.1f} GB of"
        " memory, which a part of the work takes: it waits for one that joins.",
        file=sys.stderr,
        flush=True,
    )


def _received(ray: Any, one: Any) -> Any:
    try:
        return ray.get(one)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except ray.exceptions.RayError as error:
        raise UserError(
            f"A part of the work was ended from outside {RETRIES + 1} times, perhaps for lack of "
            f"memory: {str(error).splitlines()[0]}",
            "Run it again, on machines with more memory or with fewer CPUs given to Ray.",
        ) from None


def _work(data: bytes, n_threads: int, expected: Sequence[str], home: str) -> Any:
    """A task, in a worker; `home` is the node of the process that asked."""
    from backtracking.runtime.compute import prepare_torch

    ours = origin(_OURS)
    if ours != list(expected):
        here, there = (
            ", ".join(one for one in some if one not in others) or "nothing else"
            for some, others in ((ours, expected), (expected, ours))
        )
        raise UserError(
            f"The worker on {platform.node()} has {here}, and the study runs with {there}.",
            "Install requirements.lock on every machine of the cluster, and run it again.",
        )
    prepare_torch(n_threads)
    fetching.set_home(home)
    with progress.silence():
        return pickle.loads(data)()


class _Pickler(pickle.Pickler):
    """Pickles work so that classes and functions of `__main__` are those of their module.

    What says `n_bytes_read`, the memory that it takes, is read from its folder where it is needed.

    Attributes:
        n_bytes: of all of these.
    """

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.n_bytes = 0

    def reducer_override(self, value: Any) -> Any:
        if getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__"):
            return names.find, (names.name_of(value),)
        if isinstance(getattr(type(value), "n_bytes_read", None), property):
            self.n_bytes += value.n_bytes_read
            return fetching.opened, value.__reduce__()
        return NotImplemented
