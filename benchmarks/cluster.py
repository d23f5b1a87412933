"""What a unit costs as a task of a cluster, and what a second worker gains.

    .venv/bin/python benchmarks/cluster.py --file

Units are made in this process, and by one and by two workers of a Ray cluster of this machine. An
empty one hashes a number, so that its seconds are all overhead; the others write traces. What
starts once, workers with torch in them, is a row of its own, and so is how a worker comes by a
model of 100 MB: read from its folder, or sent through the object store.
"""

import argparse
import functools
import json
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from ray.cluster_utils import Cluster

from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.models import loading
from backtracking.models.generation import Sampling, generate
from backtracking.models.loading import LoadedModel
from backtracking.models.training import Architecture, build_model
from backtracking.runtime import cluster
from backtracking.runtime.compute import prepare_torch
from lifeboat.stage import artifacts, progress
from lifeboat.stage.units import Kept, Units, kept

Row = dict[str, Any]

NODE = {"object_store_memory": 400 * 2**20, "include_dashboard": False}
SMALL = Architecture(n_layers=4, d_model=256, n_heads=4, d_mlp=1024, context=512)
LARGE = Architecture(n_layers=8, d_model=512, n_heads=8, d_mlp=2048, context=512)
"""The model that writes, and one of 100 MB that is only loaded."""

N_EMPTY, N_WRITTEN, N_TOKENS = 100, 8, 200


@contextmanager
def workers(n: int) -> Iterator[None]:
    """A context in which units are made by so many workers of a cluster."""
    made = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": n})
    os.environ[cluster.VARIABLE] = str(made.address)
    try:
        yield
    finally:
        del os.environ[cluster.VARIABLE]
        ray.shutdown()
        made.shutdown()


def make(path: Path, architecture: Architecture) -> LoadedModel:
    """A random model, written and read."""
    tokenizer = build_tokenizer()
    build_model(architecture, tokenizer, 0).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return loading.load(path)


def empty(number: int) -> partial[Any]:
    """A unit that costs nothing."""
    return partial(artifacts.sha256_json, number)


def written(loaded: LoadedModel, number: int) -> partial[Any]:
    """A unit of 16 traces."""
    keys = [f"{number}/{row}" for row in range(16)]
    return partial(generate, loaded, [[5, 6, 7]] * 16, keys, Sampling(number, 1.0, N_TOKENS))


def seconds_of(jobs: Sequence[Callable[[], Any]]) -> float:
    """How long some units take that are not there: on the cluster where one is asked for."""
    with tempfile.TemporaryDirectory() as root, progress.silence():
        units = Units(Path(root), ("backtracking", "lifeboat"))
        made: list[Kept[Any]] = [kept(units, "results/x", job) for job in jobs]
        begun = time.perf_counter()
        cluster.make_units(made, 1, "measuring")
        for one in made:
            one()
        return time.perf_counter() - begun


def measure(folder: Path) -> Iterator[Row]:
    """The rows, as they are measured."""
    small, large = make(folder / "small", SMALL), make(folder / "large", LARGE)
    jobs = {
        "empty units": [empty(number) for number in range(N_EMPTY)],
        "units of 16 traces": [written(small, number) for number in range(N_WRITTEN)],
    }
    seconds_of([empty(-1), written(small, -1)])
    for what, some in jobs.items():
        yield row(what, "this process", len(some), seconds_of(some))
    for n in (1, 2):
        with workers(n):
            first = seconds_of([written(small, -one) for one in range(1, n + 1)])
            yield row("the first of each worker", f"{n} of a cluster", n, first)
            for what, some in jobs.items():
                yield row(what, f"{n} of a cluster", len(some), seconds_of(some))
    yield from ways_of(large)


def ways_of(large: LoadedModel) -> Iterator[Row]:
    """How a worker comes by a model, a second time on one machine."""
    for what, way in {
        "a model of 100 MB from its folder": lambda: loading.load(large.folder),
        "a model of 100 MB through the object store": functools.partial(through, large),
    }.items():
        with workers(1), cluster.connected():
            way()
            begun = time.perf_counter()
            way()
            yield row(what, "1 of a cluster", 1, time.perf_counter() - begun)


def through(large: LoadedModel) -> object:
    """A model's weights as bytes, put and got."""
    data = pickle.dumps(large.model.state_dict())
    return pickle.loads(ray.get(ray.put(data)))


def row(what: str, by: str, n: int, seconds: float) -> Row:
    """One line of the table."""
    return {"what": what, "by": by, "n": n, "seconds": round(seconds, 3),
            "seconds_each": round(seconds / n, 4)}  # fmt: skip


def main() -> None:
    """Measures each, and prints a row; `--file` writes the table beside this script."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--file", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--load", default="quiet", help="what else the machine does, in a word")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    prepare_torch(1)
    os.environ.update(RAY_worker_niceness="0")  # as this process has it
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for one in measure(Path(folder)):
            rows.append(one | {"load": options.load})
            print(*rows[-1].values(), sep="\t", flush=True)
    if options.json:
        print(json.dumps(rows))
    if options.file:
        path = Path(__file__).with_name("cluster.cpu.csv")
        artifacts.write_csv(path, rows, list(rows[0]))


if __name__ == "__main__":
    main()
