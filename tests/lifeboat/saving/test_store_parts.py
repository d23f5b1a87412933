import json
import subprocess
import sys
from pathlib import Path

import pytest

from lifeboat import machine
from lifeboat.deadlines import Deadline
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial, store_parts
from lifeboat.saving.partial import Index
from lifeboat.saving.store_parts import Unsent
from lifeboat.stage import artifacts

EXTRACT = {
    "data/interim/activations/base": "extract@base",
    "data/interim/activations/reasoning": "extract@reasoning",
}

PORTION = f"traces/{'e' * 64}.jsonl"


@pytest.fixture
def store(project: Path) -> Path:
    """A store with two shards, half a third one, a checkpoint and what else lies about there."""
    folder = project / ".cache" / "store"
    for key in ("aa", "bb"):
        shard(folder, key)
    artifacts.write_bytes(folder / "activations" / "cc.safetensors", b"no record yet")
    artifacts.write_bytes(folder / "activations" / ".dd.safetensors.tmp", b"half")
    artifacts.write_bytes(folder / "activations" / ".claims", b"")
    artifacts.write_bytes(folder / "checkpoints" / "base.12ab.safetensors", b"weights")
    artifacts.write_bytes(folder / "checkpoints" / ".base.12ab.safetensors.x", b"half")
    artifacts.write_bytes(folder / "pairs" / "2" / "params.yaml", b"seed: 1\n")
    artifacts.write_bytes(folder / PORTION, b"{}\n")
    artifacts.write_bytes(folder / "traces" / f".{'e' * 64}.jsonl.x", b"half")
    return folder


@pytest.fixture
def bucket(project: Path) -> Bucket:
    """The remote of the project, a folder."""
    return open_bucket(project)


def shard(folder: Path, key: str) -> None:
    path = folder / "activations" / f"{key}.safetensors"
    artifacts.write_bytes(path, key.encode() * 100)
    record = {"key": key, "file": path.name, "sha256": artifacts.sha256_file(path), "bytes": 200}
    artifacts.write_json(folder / "activations" / f"{key}.json", record)


def found(store: Path, stages: dict[str, str], held: set[str] | None = None) -> dict[str, str]:
    return {part.path: part.stage for part in store_parts.waiting(store, held or set(), stages)}


def test_only_what_is_whole_and_not_held_is_a_part_and_checkpoints_go_first(store: Path) -> None:
    stages = {"models/base": "weights-base", "data/interim/activations/base": "extract@base"}
    assert list(found(store, stages, {"aa.safetensors"}).items()) == [
        ("checkpoints/base.12ab.safetensors", "weights-base"),
        ("activations/bb.json", "extract@base"),
        ("activations/bb.safetensors", "extract@base"),
    ]


def test_where_the_stage_of_a_file_cannot_be_known_all_of_them_are_said(store: Path) -> None:
    assert found(store, EXTRACT)["activations/aa.safetensors"] == (
        "extract@base or extract@reasoning"
    )
    models = {"models/controls": "controls", "models/pairs": "pairs"}
    assert found(store, models) == {"checkpoints/base.12ab.safetensors": "controls or pairs"}


def test_what_no_unfinished_stage_can_use_is_no_part(store: Path) -> None:
    assert found(store, {}) == {}
    assert found(store, {"data/processed/sentences": "label"}) == {}


def test_portions_belong_to_the_traces(store: Path) -> None:
    assert found(store, {"data/interim/traces": "traces"}) == {PORTION: "traces"}


def test_a_record_that_is_none_or_leads_elsewhere_is_passed_over(store: Path) -> None:
    folder = store / "activations"
    (folder / "aa.json").write_text('{"half')
    sha256 = artifacts.sha256_file(folder / "bb.safetensors")
    (folder / "bb.json").write_text(json.dumps({"file": "../machine", "sha256": sha256}))
    assert found(store, EXTRACT) == {}


def test_parts_arrive_by_content_and_the_index_tells_them(store: Path, bucket: Bucket) -> None:
    wanted = store_parts.waiting(store, set(), EXTRACT)
    parts, sent = store_parts.send(store, wanted, bucket, Deadline())
    assert sent.left == ()
    assert [part.path for part in parts] == sorted(unsent.path for unsent in wanted)
    for part in parts:
        assert bucket.read(part.key) == (store / part.path).read_bytes()
    index = Index(machine.name(store), "c" * 40, "main", tuple(parts))
    partial.write_index(bucket, index)
    assert list(partial.read_indexes(bucket)) == [index]
    assert partial.read_index(bucket, index.machine, "main") == index
    assert partial.read_index(bucket, "another", "main") is None
    assert partial.read_index(bucket, index.machine, "other") is None
    assert partial.absent(parts, bucket) == []
    assert not list((store / ".sending").iterdir())


class Counting(Bucket):
    """A remote that counts what is sent."""

    def __init__(self, inner: Bucket) -> None:
        self.url, self._own, self.sent = inner.url, inner, []

    def put(self, source, key):
        self.sent.append(key)
        return self._own.put(source, key)

    def find(self, key):
        return self._own.find(key)


def test_what_is_there_already_is_not_sent_again(store: Path, bucket: Bucket) -> None:
    wanted = store_parts.waiting(store, set(), EXTRACT)
    counting = Counting(bucket)
    parts, _ = store_parts.send(store, wanted, counting, Deadline())
    assert len(counting.sent) == 4
    again, _ = store_parts.send(store, wanted, counting, Deadline(), parts)
    assert len(counting.sent) == 4
    assert again == parts


def test_a_part_that_was_cut_short_in_the_remote_is_seen_and_mended(
    store: Path, bucket: Bucket
) -> None:
    wanted = store_parts.waiting(store, set(), EXTRACT)
    parts, _ = store_parts.send(store, wanted, bucket, Deadline())
    bucket.write(parts[0].key, b"cut")
    bucket.remove(parts[1].key)
    assert partial.absent(parts, bucket) == parts[:2]
    store_parts.send(store, wanted, bucket, Deadline(), parts)
    assert partial.absent(parts, bucket) == []


def test_a_shard_that_is_not_what_its_record_says_is_not_sent(store: Path, bucket: Bucket) -> None:
    (store / "activations" / "aa.safetensors").write_bytes(b"x" * 200)
    wanted = store_parts.waiting(store, set(), EXTRACT)
    parts, sent = store_parts.send(store, wanted, bucket, Deadline())
    ((job, reason),) = sent.left
    assert job.path == "activations/aa.safetensors"
    assert "not what its record says" in reason
    assert "activations/aa.safetensors" not in [part.path for part in parts]


def test_a_file_that_vanishes_before_its_turn_is_said(store: Path, bucket: Bucket) -> None:
    gone = Unsent("checkpoints/gone.1.safetensors", "controls")
    _parts, sent = store_parts.send(store, [gone], bucket, Deadline())
    assert sent.left[0][0].path == gone.path


def test_a_checkpoint_that_is_replaced_while_it_is_sent_is_told_as_it_was_sent(
    store: Path, bucket: Bucket
) -> None:
    path = store / "checkpoints" / "base.12ab.safetensors"

    class Slow(Counting):
        def put(self, source, key):
            artifacts.write_bytes(path, b"newer weights")
            return super().put(source, key)

    wanted = store_parts.waiting(store, set(), {"models/base": "weights-base"})
    (part,), _sent = store_parts.send(store, wanted, Slow(bucket), Deadline())
    assert bucket.read(part.key) == b"weights"
    assert part.bytes == len(b"weights")


WAITING = """
import sys, time
from pathlib import Path
from backtracking.operations.parts import store_parts
from backtracking.operations.deadlines import Deadline
start = time.monotonic()
with store_parts.alone(Path(sys.argv[1]), Deadline.after(float(sys.argv[2]))):
    print(time.monotonic() - start)
"""


def test_two_backups_of_one_store_take_turns_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path)]

    def waited(seconds: str) -> float:
        done = subprocess.run([*command, seconds], capture_output=True, text=True, check=True)
        return float(done.stdout)

    with store_parts.alone(tmp_path, Deadline()):
        assert waited("0.9") > 0.25
    assert waited("600") < 100
