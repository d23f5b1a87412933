"""A Ray cluster of several machines on this one, small and without a trace when it is over."""

import contextlib
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backtracking.runtime import cluster

NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@contextmanager
def machines(n: int = 3, head: int = 1) -> Iterator[Any]:
    """Ray's own test cluster of `n` machines, whose workers see these tests.

    Each has one CPU for tasks; the first, from which one asks and which is not killed, `head`.
    """
    from ray.cluster_utils import Cluster

    seen = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", seen)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # other tests run beside it
        made = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": head})
        try:
            for _ in range(n - 1):
                add(made)
            yield made
        finally:
            leave()
            made.shutdown()


def add(made: Any) -> None:
    """Adds a machine; Ray gives it 30 s to begin, which a computer that others use may not keep."""
    for n_left in (2, 1, 0):
        try:
            made.add_node(**NODE)
            return
        except Exception as error:
            if not n_left or "timed out during startup" not in str(error):
                raise


@contextmanager
def asked(address: str) -> Iterator[None]:
    """A context in which units are made on a cluster, and at whose end we leave it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cluster.VARIABLE, address)
        try:
            yield
        finally:
            leave()


def leave() -> None:
    """Disconnects this process."""
    import ray

    if ray.is_initialized():
        ray.shutdown()


def raylet(node: Any) -> int:
    """The process of a machine by which it is in the cluster."""
    return node.all_processes["raylet"][0].process.pid


def busy(made: Any) -> Any:
    """A machine, not the head, that has a task in its hands; None where none has."""
    by_raylet = {raylet(node): node for node in made.worker_nodes}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent in by_raylet and b"ray::_work" in (folder / "cmdline").read_bytes():
                return by_raylet[parent]
    return None


def kill(made: Any, node: Any) -> None:
    """Takes a machine away as a host that goes does."""
    os.kill(raylet(node), signal.SIGKILL)
    made.remove_node(node, allow_graceful=False)
