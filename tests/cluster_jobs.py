"""Jobs for the tests of the cluster: workers import them as they import the study's."""

import hashlib
import os
import time
from collections.abc import Sequence
from os.path import isdir
from pathlib import Path
from unittest import mock

import torch

from backtracking.models.loading import LoadedModel
from backtracking.runtime import fetching
from lifeboat.stage.errors import UserError


def multiply(number: int) -> float:
    """Something computed by torch."""
    generator = torch.Generator().manual_seed(number)
    product = torch.randn(60, 60, generator=generator) @ torch.randn(60, 60, generator=generator)
    return float(product.sum())


def logits(loaded: LoadedModel, ids: Sequence[int]) -> torch.Tensor:
    """What a model says behind each token."""
    with torch.inference_mode():
        return loaded.model(input_ids=torch.tensor([list(ids)])).logits[0]


def copied(folder: str) -> list[tuple[str, int, str]]:
    """Files of a folder as a machine has them that does not see it: name, bytes, SHA-256."""
    with mock.patch.object(Path, "is_dir", lambda path: str(path) != folder and isdir(path)):
        found = fetching.local(Path(folder))
    assert str(found) != folder
    files = [(path.name, path.read_bytes()) for path in sorted(found.iterdir())]
    return [(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files]


def where(number: int, seconds: float = 0.0) -> tuple[int, str, int]:
    """A number, the machine of the cluster that had it, and torch's threads there."""
    import ray

    time.sleep(seconds)
    return number, ray.get_runtime_context().get_node_id(), torch.get_num_threads()


def note(folder: str, number: int, seconds: float) -> int:
    """Leaves the name of its process behind, and takes its time."""
    Path(folder, f"{number}.{os.getpid()}").touch()
    time.sleep(seconds)
    return number


def refuse() -> None:
    """Fails as our own code does."""
    raise UserError("7 was found.", "Give 8.")


def divide() -> float:
    """Fails as other code does."""
    return 1 / 0


def die() -> None:
    """Ends its own process, whoever runs it."""
    os.kill(os.getpid(), 9)
