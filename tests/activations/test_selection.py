"""Reading by layer, offset, state and split; shard by shard; one layer without the rest."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extraction.conftest import REQUEST, Run
from extraction_helpers import with_sentences

from backtracking.activations.format import Positions, Rows, concatenate
from backtracking.activations.reader import ActivationStore
from backtracking.activations.selection import select
from backtracking.extraction.items import Item
from backtracking.records.columns import Sentences
from backtracking.records.sentences import Sentence, State
from backtracking.records.traces import Trace
from lifeboat.stage.errors import UserError

STATES: tuple[State, ...] = ("deduction", "backtracking", "final-answer")


@pytest.fixture
def sentences(items: list[Item]) -> Sentences:
    traces = [
        Trace(f"t{item.trace}", "p", "test" if item.trace % 3 == 0 else "train", 0, [], item.ids,
              "", "stop", {})
        for item in items
    ]  # fmt: skip
    records = [
        Sentence(f"t{item.trace}", index, span.start, span.end, "", False,
                 {"exact": STATES[(item.trace + index) % 3]})
        for item in items
        for index, span in item.spans.items()
    ]  # fmt: skip
    return Sentences.gather(records, traces, (), "exact")


@pytest.mark.parametrize("state", [None, *STATES])
@pytest.mark.parametrize("split", [None, "train", "test"])
@pytest.mark.parametrize("offset", [-2, 0, 3])
def test_the_chosen_sentences_come_with_their_vectors(
    published: ActivationStore,
    sentences: Sentences,
    items: list[Item],
    state: str | None,
    split: str | None,
    offset: int,
) -> None:
    vectors, chosen = select(published, sentences, 1, offset, state, split)
    expected = [
        (item.trace, index, span.start + offset)
        for item in items
        for index, span in item.spans.items()
        if state in (None, STATES[(item.trace + index) % 3])
        and split in (None, "test" if item.trace % 3 == 0 else "train")
        and 0 <= span.start + offset < len(item.ids)
    ]
    found = zip(chosen.trace, chosen.index, chosen.start + offset, strict=True)
    assert [tuple(map(int, row)) for row in found] == expected
    assert expected
    traces, _, positions = (np.array(column) for column in zip(*expected, strict=True))
    assert torch.equal(vectors, published.gather(1, traces, positions))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"state": "doubt"}, "no sentence with state 'doubt'; there is backtracking, deduction"),
        ({"split": "dev"}, "no sentence with split 'dev'; there is test, train"),
        ({"layer": 7}, "layer 7 is not stored"),
    ],
)
def test_what_is_not_there_is_refused(
    published: ActivationStore, sentences: Sentences, asked: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"layer": 1, "offset": 0, **asked}
    with pytest.raises(UserError, match=message):
        select(published, sentences, **given)


def test_an_offset_outside_the_window_is_refused(
    run: Run, sentences: Sentences, tmp_path: Path
) -> None:
    run(request=dataclasses.replace(REQUEST, positions=Positions((-1, 2), False)))
    with pytest.raises(UserError, match="keeps offsets -1 to 2, and 3 was asked for"):
        select(ActivationStore(tmp_path / "out"), sentences, 1, 3)


def test_shard_by_shard_gives_what_all_at_once_gives(published: ActivationStore) -> None:
    shards = list(published)
    assert len(shards) == 6
    values, rows = published.layer(2)
    assert torch.equal(torch.cat([shard.layer(2) for shard in shards]), values)
    joined: Rows = concatenate([shard.rows for shard in shards])
    assert all(
        np.array_equal(getattr(joined, name), getattr(rows, name))
        for name in ("trace", "sentence", "position")
    )


def test_one_layer_is_read_without_touching_the_others(
    run: Run, items: list[Item], tmp_path: Path
) -> None:
    run(items=with_sentences(items))
    store = ActivationStore(tmp_path / "out")
    expected = store.layer(1)[0].clone()
    for path in (tmp_path / "out").glob("*.safetensors"):
        _spoil(path, {"resid_post.0", "resid_post.2"})
    assert torch.equal(ActivationStore(tmp_path / "out").layer(1)[0], expected)
    assert not torch.equal(ActivationStore(tmp_path / "out").layer(2)[0], expected)


def _spoil(path: Path, names: set[str]) -> None:
    """Overwrites tensors in place, as the header says where they are."""
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    for name in names:
        first, last = header[name]["data_offsets"]
        data[start + first : start + last] = b"\xff" * (last - first)
    path.unlink()
    path.write_bytes(data)


@pytest.mark.slow
def test_iterating_needs_memory_for_one_shard(tmp_path: Path) -> None:
    n_rows, n_shards = 20_000, 12
    command = [sys.executable, "-c", _CHILD, str(tmp_path), str(n_rows), str(n_shards)]
    command.append(str(Path(__file__).parents[1]))
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    shard_bytes = n_rows * 256 * 4
    assert grown < 3 * shard_bytes


_CHILD = """
import sys
from pathlib import Path
from typing import Any
import torch
sys.path.append(sys.argv[4])
from backtracking.activations.reader import ActivationStore
from backtracking.extraction.store import Origin, ShardStore, publish
from dataclasses import replace
from manifests import MANIFEST

folder, n_rows, n_shards = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store, columns = ShardStore(folder / "store"), ("trace", "sentence", "position")
shards = []
for n in range(n_shards):
    tensors = {name: torch.arange(n_rows) for name in columns}
    tensors |= {f"resid_post.{layer}": torch.zeros(n_rows, 256) for layer in (0, 1)}
    shards.append(store.write(f"k{n}", tensors, Origin("b", "s", (0, 1), f"k{n}", 1)))
publish(store, shards, replace(MANIFEST, d_model=256), folder / "out")

def resident():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024

del tensors
total, peak, before = 0.0, 0, resident()
for shard in ActivationStore(folder / "out"):
    total += float(shard.layer(1).sum())
    peak = max(peak, resident())
print(max(0, peak - before))
"""
