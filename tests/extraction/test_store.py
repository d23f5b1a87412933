"""The store and its reader, on shards of made-up numbers."""

import json
import os
import stat
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import manifests
import numpy as np
import pytest
import safetensors.torch
import torch
from extraction_helpers import alter, truncate
from safetensors import safe_open
from torch import Tensor

from backtracking.activations.format import Positions, Rows, Shard
from backtracking.activations.reader import ActivationStore
from backtracking.extraction.store import Origin, ShardStore, publish
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

MANIFEST = replace(manifests.MANIFEST, layers=(0, 3), positions=Positions((-1, 1), True))
ROWS_BY_KEY = {
    "one": [(0, 0, -1), (0, -1, 2), (0, 0, 3), (1, 0, -1), (1, 1, -1), (1, 0, 5), (1, 1, 7)],
    "none": [],
    "two": [(4, 0, -1), (4, 0, 0), (4, 0, 2)],
}


def vector(layer: int, row: tuple[int, int, int]) -> list[float]:
    return [layer, *row]


def tensors(rows: list[tuple[int, int, int]]) -> dict[str, Tensor]:
    columns = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).T.contiguous()
    names = ["trace", "sentence", "position"]
    shard = dict(zip(names, columns.unbind(), strict=True))
    for layer in (0, 3):
        values = [vector(layer, row) for row in rows]
        shard[f"resid_post.{layer}"] = torch.tensor(values, dtype=torch.float32).reshape(-1, 4)
    return shard


def write(shards: ShardStore, key: str, rows: list[tuple[int, int, int]]) -> Shard:
    return shards.write(key, tensors(rows), origin(key))


def origin(key: str) -> Origin:
    return Origin("base", "spans", (0, 3), key, 64)


@pytest.fixture
def shards(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path, shards: ShardStore) -> Path:
    written = [write(shards, key, rows) for key, rows in ROWS_BY_KEY.items()]
    publish(shards, written, MANIFEST, tmp_path / "out")
    return tmp_path / "out"


def test_a_layer_is_read_with_what_its_rows_are(folder: Path) -> None:
    values, rows = ActivationStore(str(folder)).layer(3)
    expected = [row for shard in ROWS_BY_KEY.values() for row in shard]
    assert values.tolist() == [vector(3, row) for row in expected]
    found = zip(rows.trace, rows.sentence, rows.position, strict=True)
    assert [tuple(map(int, row)) for row in found] == expected


def test_vectors_are_gathered_in_the_order_that_is_asked_for(folder: Path) -> None:
    store = ActivationStore(folder)
    trace, position = np.array([4, 1, 0, 4]), np.array([2, 5, 3, 2])
    rows = [(4, 0, 2), (1, 0, 5), (0, 0, 3), (4, 0, 2)]
    expected = [vector(0, row) for row in rows]
    assert store.gather(0, trace, position).tolist() == expected
    assert store.gather(0, trace[:0], position[:0]).shape == (0, 4)


def test_what_is_not_stored_is_told_beforehand_and_refused(folder: Path) -> None:
    store = ActivationStore(folder)
    trace, position = np.array([0, 0, 9, 4, 1]), np.array([2, 4, 0, -1, 7])
    assert store.has(trace, position).tolist() == [True, False, False, False, True]
    with pytest.raises(UserError, match="position 4 of trace 0 is not stored, and 2 others of 5"):
        store.gather(0, trace, position)
    with pytest.raises(UserError, match=r"layer 1 is not stored; it has \[0, 3\]"):
        store.layer(1)


def test_means_are_the_rows_without_a_position(folder: Path) -> None:
    values, rows = ActivationStore(folder).means(0)
    assert rows.sentence.tolist() == [0, 0, 1, 0]
    assert values.tolist() == [[0, 0, 0, -1], [0, 1, 0, -1], [0, 1, 1, -1], [0, 4, 0, -1]]


def test_rows_can_be_chosen(folder: Path) -> None:
    rows = ActivationStore(folder).rows
    assert isinstance(rows[rows.trace == 4], Rows)
    assert rows[rows.trace == 4].position.tolist() == [-1, 0, 2]


def test_another_program_reads_the_format_with_json_and_safetensors_alone(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {field.name for field in fields(MANIFEST)} - {"imported", "versions"}
    vectors = {}
    for unit in manifest["units"]:
        assert set(unit) == {"key", "file", "sha256", "bytes", "rows"}
        with safe_open(folder / unit["file"], framework="np") as shard:
            names = [f"{manifest['hook']}.{layer}" for layer in manifest["layers"]]
            assert set(shard.keys()) == {*names, "trace", "sentence", "position"}
            columns = [shard.get_tensor(name) for name in ("trace", "sentence", "position")]
            assert all(len(column) == unit["rows"] for column in columns)
            for row, values in zip(
                zip(*columns, strict=True), shard.get_tensor(names[1]), strict=True
            ):
                vectors[tuple(map(int, row))] = values.tolist()
    assert vectors[(1, 1, 7)] == vector(3, (1, 1, 7))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [(remove, r"two\.safetensors is missing"), (truncate, r"two\.safetensors is truncated")],
)
def test_a_missing_or_truncated_shard_is_named_when_a_store_is_opened(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder / "two.safetensors")
    with pytest.raises(UserError, match=message):
        ActivationStore(folder)


def test_an_altered_shard_is_named_when_a_store_is_verified(folder: Path) -> None:
    ActivationStore(folder).verify()
    alter(folder / "two.safetensors")
    with pytest.raises(UserError, match=r"two\.safetensors was altered"):
        ActivationStore(folder).verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of format 1, found 2"),
        ({"complete": False}, "not that of a finished store"),
        ({"units": None}, "found units missing"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    folder: Path, change: dict[str, object], message: str
) -> None:
    manifest = artifacts.read_json(folder / "manifest.json") | change
    kept = {key: value for key, value in manifest.items() if value is not None}
    artifacts.write_json(folder / "manifest.json", kept)
    with pytest.raises(UserError, match=message):
        ActivationStore(folder)


def test_a_folder_without_a_manifest_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"manifest\.json does not exist"):
        ActivationStore(tmp_path)


@pytest.mark.parametrize("damage", [remove, truncate, alter])
@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_a_shard_counts_only_while_it_and_its_record_are_whole(
    shards: ShardStore, damage: Callable[[Path], None], suffix: str
) -> None:
    written = write(shards, "one", ROWS_BY_KEY["one"])
    assert shards.find("one") == written
    damage(shards.folder / f"one.{suffix}")
    assert shards.find("one") is None


def test_a_published_shard_is_the_stores_own_file(folder: Path, shards: ShardStore) -> None:
    for key in ROWS_BY_KEY:
        assert (folder / f"{key}.safetensors").samefile(shards.path(key))


@pytest.mark.parametrize("damage", [None, remove, truncate, alter])
def test_a_shard_of_the_same_key_is_borrowed_from_a_folder_beside(
    shards: ShardStore, damage: Callable[[Path], None] | None
) -> None:
    written = write(shards, "one", ROWS_BY_KEY["one"])
    beside = ShardStore(shards.folder.with_name("beside"))
    if damage:
        write(beside, "one", ROWS_BY_KEY["one"])
        damage(beside.path("one"))
    assert beside.find("one") == written
    assert beside.path("one").samefile(shards.path("one"))
    assert sorted(path.name for path in beside.folder.iterdir()) == ["one.json", "one.safetensors"]


def test_a_damaged_shard_is_not_borrowed(shards: ShardStore) -> None:
    write(shards, "one", ROWS_BY_KEY["one"])
    alter(shards.path("one"))
    assert ShardStore(shards.folder.with_name("beside")).find("one") is None


def test_writing_a_shard_and_publishing_leave_other_links_to_the_old_files_untouched(
    tmp_path: Path, folder: Path, shards: ShardStore
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for path in folder.iterdir():
        os.link(path, cache / path.name)
        path.chmod(0o444)
    before = {path.name: path.read_bytes() for path in cache.iterdir()}
    publish(shards, [write(shards, "two", ROWS_BY_KEY["one"])], MANIFEST, folder)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == before
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in cache.iterdir())
    assert ActivationStore(folder).rows.trace.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert not (folder / "two.safetensors").samefile(cache / "two.safetensors")


def test_the_bytes_of_a_shard_do_not_depend_on_the_order_of_its_tensors(
    tmp_path: Path, shards: ShardStore
) -> None:
    shard = tensors(ROWS_BY_KEY["one"])
    first = shards.write("one", shard, origin("one"))
    again = ShardStore(tmp_path / "other").write(
        "one", dict(reversed(shard.items())), origin("one")
    )
    assert again == first


def test_what_a_reader_does_to_its_tensors_does_not_reach_the_file(folder: Path) -> None:
    before = artifacts.sha256_file(folder / "one.safetensors")
    ActivationStore(folder).layer(0)[0].zero_()
    assert artifacts.sha256_file(folder / "one.safetensors") == before


def test_a_store_that_cannot_be_written_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        write(ShardStore(tmp_path / "file" / "store"), "one", ROWS_BY_KEY["one"])


def test_only_old_temporary_files_are_swept(shards: ShardStore) -> None:
    write(shards, "one", ROWS_BY_KEY["one"])
    old, new = shards.folder / ".two.safetensors.a", shards.folder / ".two.safetensors.b"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    os.utime(shards.path("one"), (0, 0))
    shards.sweep()
    assert not old.exists()
    assert new.exists()
    assert shards.find("one")


def test_bfloat16_is_read_as_it_was_written(tmp_path: Path, shards: ShardStore) -> None:
    shard = tensors(ROWS_BY_KEY["one"])
    shard |= {name: shard[name].bfloat16() for name in ("resid_post.0", "resid_post.3")}
    manifest = replace(MANIFEST, dtype="bfloat16")
    publish(shards, [shards.write("one", shard, origin("one"))], manifest, tmp_path / "out")
    store = ActivationStore(tmp_path / "out")
    gathered = store.gather(3, np.array([1]), np.array([7]))
    assert gathered.dtype == torch.bfloat16
    assert gathered.tolist() == [vector(3, (1, 1, 7))]
    assert safetensors.torch.load_file(shards.path("one"))["resid_post.3"].dtype == torch.bfloat16
