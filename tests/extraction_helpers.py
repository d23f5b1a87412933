"""What the tests of extraction share: contents of a folder, finished shards, a killed child."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from backtracking.activations.reader import ActivationStore
from backtracking.extraction.items import Item, TraceFile
from lifeboat.stage import artifacts


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file by name."""
    return {path.name: artifacts.sha256_file(path) for path in sorted(folder.iterdir())}


def shards_in(folder: Path) -> dict[str, str]:
    """Hash of every shard by name; manifests may differ in what they say of their making."""
    return {name: sha for name, sha in contents(folder).items() if name.endswith(".safetensors")}


def write_traces(items: Sequence[Item], folder: Path) -> TraceFile:
    """The traces and their sentences as files, `traces.jsonl` and `sentences.jsonl`."""
    traces, sentences = folder / "traces.jsonl", folder / "sentences.jsonl"
    artifacts.write_jsonl(
        traces, ({"trace_id": f"t{item.trace}", "token_ids": item.ids} for item in items)
    )
    artifacts.write_jsonl(
        sentences,
        (
            {"trace_id": f"t{item.trace}", "index": n, "start": span.start, "end": span.end}
            for item in items
            for n, span in item.spans.items()
        ),
    )
    return TraceFile(traces, sentences)


def truncate(path: Path) -> None:
    """Leaves half of a file; other links to it keep the whole."""
    artifacts.write_bytes(path, path.read_bytes()[: path.stat().st_size // 2])


def alter(path: Path) -> None:
    """Turns the last bit of a file; other links to it keep theirs."""
    data = path.read_bytes()
    artifacts.write_bytes(path, data[:-1] + bytes([data[-1] ^ 1]))


def tokens_of(store: ActivationStore, layer: int, item: Item) -> torch.Tensor:
    """Every token of a trace."""
    n_tokens = len(item.ids)
    return store.gather(layer, np.full(n_tokens, item.trace), np.arange(n_tokens))


def with_sentences(items: Sequence[Item]) -> list[Item]:
    """The traces that have any."""
    return [item for item in items if item.spans]


def finished(store: Path) -> dict[str, int]:
    """Inode of every shard whose record is written, by name."""
    records = store.glob("[!.]*.json")
    return {path.stem: path.with_suffix(".safetensors").stat().st_ino for path in records}


def in_child(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Runs `work` in a fork; the wait status, after SIGKILL if it ran longer than `kill_after`."""
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside other threads; the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            work()
        finally:
            os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]
