import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lifeboat.items import proven
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.restoring import salvage
from lifeboat.restoring.salvage import Salvaged
from lifeboat.saving import partial
from lifeboat.saving.partial import Index, Part

CHECKPOINT = "models/base/k.3.safetensors"
SHARD, RECORD = "data/activations/base/a.safetensors", "data/activations/base/a.json"


@pytest.fixture
def bucket(project: Path) -> Bucket:
    return open_bucket(project)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def send(bucket: Bucket, path: str, data: bytes, stage: str = "extract@base") -> Part:
    part = Part(path, len(data), hashlib.sha256(data).hexdigest(), stage)
    bucket.write(part.key, data)
    return part


def write(bucket: Bucket, *parts: Part, machine: str = "one", branch: str = "main") -> None:
    partial.write_index(bucket, Index(machine, "0" * 40, branch, parts))


def brought(
    store: Path, bucket: Bucket, stages: tuple[str, ...] = ("extract@base", "weights@base")
) -> Salvaged:
    return salvage.salvage(store, bucket, "main", stages)


def files(store: Path) -> dict[str, bytes]:
    found = (path for path in store.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in found}


def test_parts_of_every_machine_of_the_branch_come_back_once(store: Path, bucket: Bucket) -> None:
    shard, record = send(bucket, SHARD, b"shard"), send(bucket, RECORD, b"{}")
    checkpoint = send(bucket, CHECKPOINT, b"early", "weights@base")
    further = send(bucket, CHECKPOINT, b"further on", "weights@base")
    write(bucket, shard, record, checkpoint)
    write(bucket, record, further, machine="two")
    found = brought(store, bucket)
    assert files(store) == {SHARD: b"shard", RECORD: b"{}", CHECKPOINT: b"further on"}
    assert [item.fact for item in salvage.told(found)] == [
        "2 files of unfinished extract@base came back, 0.0 MB, each hashed: the stage goes on "
        "from there.",
        "1 file of unfinished weights@base came back, 0.0 MB, each hashed: the stage goes on "
        "from there.",
    ]
    again = brought(store, bucket)
    assert (again.brought, len(again.kept)) == ([], 3)


def test_what_the_store_has_is_replaced_by_something_larger_only(
    store: Path, bucket: Bucket
) -> None:
    write(bucket, send(bucket, SHARD, b"whole shard"), send(bucket, CHECKPOINT, b"early"))
    for path, data in ((SHARD, b"whole"), (CHECKPOINT, b"later than that")):
        (store / path).parent.mkdir(parents=True, exist_ok=True)
        (store / path).write_bytes(data)
    brought(store, bucket)
    assert files(store) == {SHARD: b"whole shard", CHECKPOINT: b"later than that"}


def test_parts_that_no_stage_here_can_use_stay_in_the_remote(store: Path, bucket: Bucket) -> None:
    write(bucket, send(bucket, SHARD, b"shard", "extract@base"))
    write(bucket, send(bucket, CHECKPOINT, b"c", "weights@base"), machine="two", branch="other")
    found = brought(store, bucket, ("probe",))
    assert (files(store), found.n_elsewhere) == ({}, 1)
    assert "1 file of unfinished stages are of other branches" in salvage.told(found)[0].fact
    assert len(brought(store, bucket, ("extract@base",)).brought) == 1


def test_an_altered_and_a_missing_part_are_named_and_the_others_come(
    store: Path, bucket: Bucket
) -> None:
    shard, record = send(bucket, SHARD, b"shard"), send(bucket, RECORD, b"{}")
    gone = send(bucket, CHECKPOINT, b"gone", "weights@base")
    write(bucket, shard, record, gone)
    bucket.write(shard.key, b"other")
    bucket.remove(gone.key)
    found = brought(store, bucket)
    assert files(store) == {RECORD: b"{}"}
    said = [item.fact for item in salvage.told(found) if item.verdict == "wrong"]
    said.sort()
    assert f"{SHARD} of unfinished extract@base did not come back" in said[0]
    assert "has other bytes than its name says" in said[0]
    assert "is not there" in said[1]


def test_an_index_that_lies_is_refused_and_the_others_count(store: Path, bucket: Bucket) -> None:
    part = send(bucket, SHARD, b"shard")
    parts = [asdict(part) | {"path": "../x"}]
    lie = {"machine": "bad", "commit": "0", "branch": "main", "parts": parts}
    data = json.dumps({"format": 2, **lie}).encode()
    bucket.write(f"{partial.INDEXES}bad.json", data)
    bucket.write(f"{partial.INDEXES}cut.json", data[: len(data) // 2])
    write(bucket, part)
    found = brought(store, bucket)
    assert files(store) == {SHARD: b"shard"}
    assert len(found.problems) == 2
    assert not proven(salvage.told(found))


class Broken(Bucket):
    """A remote that lists what it has, and no more."""

    def __init__(self, inner: Bucket) -> None:
        self.url, self.list, self.read, self.n_asked = inner.url, inner.list, inner.read, 0

    def get(self, key: str, target: Path) -> None:
        self.n_asked += 1
        raise salvage.StoreError("unreachable", self.url, "cable")


def test_a_remote_that_fails_is_not_asked_for_every_part(store: Path, bucket: Bucket) -> None:
    parts = [send(bucket, f"models/base/{n}.safetensors", b"x") for n in range(40)]
    write(bucket, *parts, send(bucket, RECORD, b"{}"))
    broken = Broken(bucket)
    found = brought(store, broken)
    assert len(found.lost) == 41
    assert broken.n_asked <= salvage.arriving.N_THREADS
    assert any("cable" in refusal.reason for _, refusal in found.lost)
