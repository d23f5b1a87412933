"""Out of memory: the budget is halved, and what comes out agrees and says so."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from extraction.conftest import FLOOR, REQUEST, Run

from backtracking.activations.format import Positions
from backtracking.activations.reader import ActivationStore
from backtracking.extraction import gathering, running, selfcheck
from backtracking.extraction.items import Item
from backtracking.models.room import is_out_of_memory
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A device that holds no batch of more padded tokens than `room["tokens"]`."""
    room = {"tokens": 10**9}
    forward = running.forward

    def limited(reader: Any, ids: torch.Tensor, layers: Any, receive: Any) -> None:
        if ids.numel() > room["tokens"]:
            raise torch.OutOfMemoryError(f"no room for {ids.numel()} tokens")
        forward(reader, ids, layers, receive)

    monkeypatch.setattr(running, "forward", limited)
    return room


def values(folder: Path) -> list[torch.Tensor]:
    store = ActivationStore(folder)
    return [store.layer(layer)[0] for layer in store.layers]


def test_a_halved_budget_agrees_within_the_floor_and_the_manifest_says_so(
    run: Run, room: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = dataclasses.replace(REQUEST, tokens_per_batch=256)
    run(request=large, at="ample")
    room["tokens"] = 150
    done = run(request=large)
    assert "going on with 128 tokens in a batch" in capsys.readouterr().err
    manifest = artifacts.read_json(tmp_path / "out" / "manifest.json")
    halved = manifest["halved"]
    assert halved and {each["tokens_per_batch"] for each in halved} == {128}
    keys = [unit["key"] for unit in manifest["units"]]
    assert {each["key"] for each in halved} <= set(keys)
    assert not {each["asked"] for each in halved} & set(keys)
    for found, expected in zip(
        values(tmp_path / "out"), values(tmp_path / "outample"), strict=True
    ):
        assert selfcheck.relative(found, expected) < FLOOR
    again = run(request=large)
    assert (done.n_computed, again.n_computed) == (done.n_units, 0)


def test_one_trace_that_does_not_fit_alone_is_named(
    run: Run, items: list[Item], room: dict[str, int], tmp_path: Path
) -> None:
    longest = max((item for item in items if item.spans), key=lambda item: len(item.ids))
    room["tokens"] = len(longest.ids) - 1
    with pytest.raises(UserError, match=r"Trace \d+ of \d+ tokens does not fit into memory alone"):
        run()
    assert not (tmp_path / "out").exists()


def test_another_error_of_the_model_is_no_lack_of_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_room_for_rows_is_used_again_once_it_was_given_back() -> None:
    memory = gathering.HostMemory(pinned=False)
    first = memory.take(100, 8, torch.float32)
    second = memory.take(100, 8, torch.float32)
    assert first.data_ptr() != second.data_ptr()
    where = first.data_ptr()
    memory.give_back([first])
    again = memory.take(108, 8, torch.float32)  # within the headroom
    assert again.data_ptr() == where and again.shape == (108, 8)
    memory.give_back([again])
    assert memory.take(10, 4, torch.bfloat16).dtype == torch.bfloat16
    assert memory.take(0, 8, torch.float32).shape == (0, 8)


@pytest.mark.parametrize("means", [False, True])
def test_scattered_and_long_ranges_give_the_same_rows(
    means: bool, monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    request = dataclasses.replace(REQUEST, positions=Positions((-4, 3), means))
    for name, long in (("copied", 0), ("gathered", 10**9)):
        monkeypatch.setattr(gathering, "_LONG", long)
        run(request=request, at=name)
    found, expected = values(tmp_path / "outcopied"), values(tmp_path / "outgathered")
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
