import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline
from lifeboat.project import Contract
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.saving import partial, store_parts
from lifeboat.saving.partial import Index
from lifeboat.saving.store_parts import Unsent
from lifeboat.stage import artifacts

BASE = "data/interim/activations/base"
EXTRACT = {BASE: "extract@base"}
KEY = "ab" * 32


def name_of(data: bytes, step: str = "") -> str:
    return f"{KEY}{step}.{hashlib.sha256(data).hexdigest()}.safetensors"


AA, BB, STEP = name_of(b"aa"), name_of(b"bb"), name_of(b"weights", ".7")


@pytest.fixture
def store(project: Path) -> Path:
    """A store with two units of one out, a step of another, and what else lies about there."""
    folder = project / ".cache" / "store"
    for name, data in ((AA, b"aa"), (BB, b"bb"), (".claims", b""), (".half", b"half")):
        artifacts.write_bytes(folder / BASE / name, data)
    artifacts.write_bytes(folder / "models" / "base" / STEP, b"weights")
    artifacts.write_bytes(folder / "models" / "base" / f".{KEY}.1.2", b"half")
    artifacts.write_bytes(folder / "machine", b"00")
    return folder


@pytest.fixture
def bucket(project: Path) -> Bucket:
    """The remote of the project, a folder."""
    return open_bucket(project)


def waiting(store: Path, stages: dict[str, str], held: set[str] | None = None) -> list[Unsent]:
    order = Contract(order=("models/",))
    return store_parts.waiting(store, held or set(), stages, order.rank)


def test_what_is_whole_and_not_held_is_a_part_of_its_out_s_stage_in_the_order_of_the_contract(
    store: Path,
) -> None:
    stages = {BASE: "extract@base", "models/base": "weights@base"}
    found = waiting(store, stages, {AA})
    assert [(part.path, part.stage) for part in found] == [
        (f"models/base/{STEP}", "weights@base"),
        (f"{BASE}/{BB}", "extract@base"),
    ]
    assert waiting(store, {}) == waiting(store, {"data/processed/sentences": "label"}) == []


def test_parts_arrive_by_content_and_the_index_tells_them(store: Path, bucket: Bucket) -> None:
    wanted = waiting(store, EXTRACT)
    parts, sent = store_parts.send(store, wanted, bucket, Deadline())
    assert sent.left == ()
    assert [part.path for part in parts] == sorted(unsent.path for unsent in wanted)
    for part in parts:
        assert bucket.read(part.key) == (store / part.path).read_bytes()
    index = Index("a-machine", "c" * 40, "main", tuple(parts))
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
    wanted = waiting(store, EXTRACT)
    counting = Counting(bucket)
    parts, _ = store_parts.send(store, wanted, counting, Deadline())
    assert len(counting.sent) == 2
    again, _ = store_parts.send(store, wanted, counting, Deadline(), parts)
    assert len(counting.sent) == 2
    assert again == parts


def test_a_part_that_was_cut_short_in_the_remote_is_seen_and_mended(
    store: Path, bucket: Bucket
) -> None:
    wanted = waiting(store, EXTRACT)
    parts, _ = store_parts.send(store, wanted, bucket, Deadline())
    bucket.write(parts[0].key, b"cut")
    bucket.remove(parts[1].key)
    absent = partial.absent(parts, bucket)
    assert [part for part, _ in absent] == parts[:2]
    assert [verdict.is_there for _, verdict in absent] == [True, False]
    store_parts.send(store, wanted, bucket, Deadline(), parts)
    assert partial.absent(parts, bucket) == []


def test_a_unit_that_is_not_what_its_name_says_is_not_sent(store: Path, bucket: Bucket) -> None:
    (store / BASE / AA).write_bytes(b"xx")
    parts, sent = store_parts.send(store, waiting(store, EXTRACT), bucket, Deadline())
    ((job, reason),) = sent.left
    assert job.path == f"{BASE}/{AA}"
    assert "not what its name says" in reason
    assert [part.path for part in parts] == [f"{BASE}/{BB}"]


def test_a_file_that_vanishes_before_its_turn_is_said(store: Path, bucket: Bucket) -> None:
    gone = Unsent("models/base/gone.1.safetensors", "controls")
    _parts, sent = store_parts.send(store, [gone], bucket, Deadline())
    assert sent.left[0][0].path == gone.path


def test_a_file_that_is_replaced_while_it_is_sent_is_told_as_it_was_sent(
    store: Path, bucket: Bucket
) -> None:
    (store / "models" / "base" / STEP).unlink()
    path = store / "models" / "base" / "record.json"
    artifacts.write_bytes(path, b"weights")

    class Slow(Counting):
        def put(self, source, key):
            artifacts.write_bytes(path, b"newer weights")
            return super().put(source, key)

    wanted = waiting(store, {"models/base": "weights@base"})
    (part,), _sent = store_parts.send(store, wanted, Slow(bucket), Deadline())
    assert bucket.read(part.key) == b"weights"
    assert part.bytes == len(b"weights")


WAITING = """
import sys, time
from pathlib import Path
from lifeboat.saving import store_parts
from lifeboat.deadlines import Deadline
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
