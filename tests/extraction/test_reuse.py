"""What older shards hold is not computed again, and the bytes do not tell where they come from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from extraction.conftest import REQUEST, Run
from extraction_helpers import alter, shards_in

from backtracking.activations.format import Positions
from backtracking.extraction import filling, running
from backtracking.extraction.items import Item
from backtracking.extraction.planning import Request
from backtracking.records.traces import TokenSpan

NARROW = dataclasses.replace(REQUEST, layers=(0, 2), positions=Positions((-1, 1), False))


@pytest.fixture
def layers_run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The layers that each forward pass of an extraction was asked for; the check's included."""
    asked: list[tuple[int, ...]] = []
    forward = running.forward

    def counting(reader: Any, ids: torch.Tensor, layers: tuple[int, ...], receive: Any) -> None:
        asked.append(tuple(layers))
        forward(reader, ids, layers, receive)

    monkeypatch.setattr(running, "forward", counting)
    return asked


def relabelled(item: Item) -> Item:
    """The same tokens with other sentences."""
    return Item(item.trace, item.ids, {0: TokenSpan(1, 4), 1: TokenSpan(4, len(item.ids))})


def test_layers_added_later_are_the_only_ones_computed(
    run: Run, tmp_path: Path, layers_run: list[tuple[int, ...]]
) -> None:
    run(request=dataclasses.replace(REQUEST, layers=(0, 2)))
    layers_run.clear()
    done = run(request=REQUEST)
    assert done.n_computed == done.n_units
    # The check reads them all, in a batch of its own, early and at the end.
    assert sorted(set(layers_run)) == [(0, 1, 2), (1,)]
    assert layers_run.count((0, 1, 2)) == 2
    run(request=REQUEST, at="fresh")
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "outfresh")


@pytest.mark.parametrize(
    "request_",
    [
        NARROW,
        dataclasses.replace(REQUEST, layers=(1,)),
        dataclasses.replace(REQUEST, positions=Positions((-100, 100), False)),
    ],
)
def test_less_than_what_is_there_needs_no_forward_pass(
    run: Run, request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(request=REQUEST)
    monkeypatch.setattr(filling, "run_unit", None)
    done = run(request=request_)
    assert (done.n_computed, done.n_assembled) == (0, done.n_units)
    monkeypatch.undo()
    run(request=request_, at="fresh")
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "outfresh")


@pytest.mark.parametrize("means", [False, True])
def test_offsets_added_later_give_the_bytes_of_a_run_from_nothing(
    run: Run, means: bool, tmp_path: Path
) -> None:
    wider = dataclasses.replace(NARROW, positions=Positions((-3, 2), means))
    run(request=NARROW)
    done = run(request=wider)
    assert 0 < done.n_computed <= done.n_units
    run(request=wider, at="fresh")
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "outfresh")


def test_only_batches_with_missing_rows_run_again(
    run: Run, items: list[Item], layers_run: list[tuple[int, ...]]
) -> None:
    every = dataclasses.replace(REQUEST, positions=Positions(None), unit_traces=len(items))
    n_batches = len(running.batches_of(items, every))
    run(request=every)
    assert len(layers_run) == n_batches + 1
    layers_run.clear()
    # One trace gets a mean; the tokens of all are there.
    changed = [items[0], *(dataclasses.replace(item, spans={}) for item in items[1:])]
    means = dataclasses.replace(every, positions=Positions(None, True))
    run(items=changed, request=means)
    assert len(layers_run) == 1 + 1


def test_other_sentences_of_the_same_tokens_keep_the_tokens_and_renew_the_means(
    run: Run, items: list[Item], tmp_path: Path
) -> None:
    run(items=items, request=REQUEST)
    changed = [relabelled(item) for item in items]
    run(items=changed, request=REQUEST)
    run(items=changed, request=REQUEST, at="fresh")
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "outfresh")


def test_a_damaged_older_shard_is_not_copied_from(run: Run, tmp_path: Path) -> None:
    run(request=REQUEST)
    for path in (tmp_path / "store").glob("*.safetensors"):
        alter(path)
    done = run(request=NARROW, at="")
    assert done.n_assembled == 0
    run(request=NARROW, at="fresh")
    assert shards_in(tmp_path / "out") == shards_in(tmp_path / "outfresh")


@pytest.mark.parametrize(
    "change",
    [
        lambda items: [dataclasses.replace(item, ids=[*item.ids[:-1], 7]) for item in items],
        lambda items: items[::-1],
    ],
)
def test_nothing_is_taken_from_shards_of_other_tokens(
    run: Run, items: list[Item], change: Callable[[list[Item]], list[Item]]
) -> None:
    run(items=items[:4])
    done = run(items=change(items[:4]), request=NARROW)
    assert (done.n_computed, done.n_assembled) == (1, 0)
