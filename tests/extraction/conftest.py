"""A small model of the organism's kind, ragged traces, and an extraction to run on them."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.domains.organism.tokenizer import build_tokenizer
from backtracking.extraction import engine
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.models import loading
from backtracking.models.loading import LoadedModel
from backtracking.models.training import Architecture, build_model
from backtracking.records.traces import TokenSpan

FLOOR = 1e-5
REQUEST = Request((0, 1, 2), Positions((-100, 100), True), "float32", 4, 64, 1)
Run = Callable[..., engine.Extraction]


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="package")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = build_tokenizer()
    build_model(Architecture(3, 32, 4, 64, 128), tokenizer, 3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="package")
def model(model_folder: Path) -> LoadedModel:
    return loading.load(model_folder)


@pytest.fixture(scope="package")
def items() -> list[Item]:
    return make_items(23)


def make_items(n: int, n_ids: int = 100) -> list[Item]:
    """Ragged traces with adjoining sentences; the third of each four has none."""
    rng = random.Random(5)
    made = []
    for trace in range(n):
        ids = [rng.randrange(n_ids) for _ in range(rng.randrange(8, 60))]
        cuts = sorted(rng.sample(range(3, len(ids)), 4)) if trace % 4 != 2 else []
        spans = (TokenSpan(*span) for span in pairwise(cuts))
        made.append(Item(trace, ids, dict(enumerate(spans))))
    return made


@pytest.fixture(scope="package")
def published(
    model: LoadedModel, items: list[Item], tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    folder = tmp_path_factory.mktemp("published")
    engine.extract(model, items, REQUEST, store=folder / "store", out=folder / "out", floor=FLOOR)
    return ActivationStore(folder / "out")


@pytest.fixture
def run(model: LoadedModel, items: list[Item], tmp_path: Path) -> Run:
    def run_(
        items: Sequence[Item] = items,
        request: Request = REQUEST,
        floor: float = FLOOR,
        at: str = "",
        repair: bool = False,
    ) -> engine.Extraction:
        # Elsewhere is not in a folder beside: from there shards would be taken.
        store, out = tmp_path / at / "store", tmp_path / f"out{at}"
        return engine.extract(
            model, items, request, store=store, out=out, floor=floor, repair=repair
        )

    return run_
