import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from backtracking import artifacts
from backtracking.errors import UserError
from backtracking.operations import machine, partial
from backtracking.operations.bucket import Bucket, open_bucket
from backtracking.operations.deadlines import Deadline
from backtracking.operations.partial import Index, Part, Unsent

EXTRACT = {
    "data/interim/activations/base": "extract@base",
    "data/interim/activations/reasoning": "extract@reasoning",
}


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
    return {part.path: part.stage for part in partial.waiting(store, held or set(), stages)}


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
    assert found(store, {"data/interim/traces": "traces"}) == {}


def test_a_record_that_is_none_or_leads_elsewhere_is_passed_over(store: Path) -> None:
    folder = store / "activations"
    (folder / "aa.json").write_text('{"half')
    sha256 = artifacts.sha256_file(folder / "bb.safetensors")
    (folder / "bb.json").write_text(json.dumps({"file": "../machine", "sha256": sha256}))
    assert found(store, EXTRACT) == {}


def test_parts_arrive_by_content_and_the_index_tells_them(store: Path, bucket: Bucket) -> None:
    wanted = partial.waiting(store, set(), EXTRACT)
    parts, sent = partial.send(store, wanted, bucket, Deadline())
    assert sent.left == ()
    assert [part.path for part in parts] == sorted(unsent.path for unsent in wanted)
    for part in parts:
        assert bucket.read(part.key) == (store / part.path).read_bytes()
    index = Index(machine.name(store), "c" * 40, "main", tuple(parts))
    partial.write_index(bucket, index)
    assert list(partial.read_indexes(bucket)) == [index]
    assert partial.read_index(bucket, index.machine) == index
    assert partial.read_index(bucket, "another") is None
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
    wanted = partial.waiting(store, set(), EXTRACT)
    counting = Counting(bucket)
    parts, _ = partial.send(store, wanted, counting, Deadline())
    assert len(counting.sent) == 4
    again, _ = partial.send(store, wanted, counting, Deadline(), parts)
    assert len(counting.sent) == 4
    assert again == parts


def test_a_part_that_was_cut_short_in_the_remote_is_seen_and_mended(
    store: Path, bucket: Bucket
) -> None:
    wanted = partial.waiting(store, set(), EXTRACT)
    parts, _ = partial.send(store, wanted, bucket, Deadline())
    bucket.write(parts[0].key, b"cut")
    bucket.remove(parts[1].key)
    assert partial.absent(parts, bucket) == parts[:2]
    partial.send(store, wanted, bucket, Deadline(), parts)
    assert partial.absent(parts, bucket) == []


def test_a_shard_that_is_not_what_its_record_says_is_not_sent(store: Path, bucket: Bucket) -> None:
    (store / "activations" / "aa.safetensors").write_bytes(b"x" * 200)
    wanted = partial.waiting(store, set(), EXTRACT)
    parts, sent = partial.send(store, wanted, bucket, Deadline())
    ((job, reason),) = sent.left
    assert job.path == "activations/aa.safetensors"
    assert "not what its record says" in reason
    assert "activations/aa.safetensors" not in [part.path for part in parts]


def test_a_file_that_vanishes_before_its_turn_is_said(store: Path, bucket: Bucket) -> None:
    gone = Unsent("checkpoints/gone.1.safetensors", "controls")
    _parts, sent = partial.send(store, [gone], bucket, Deadline())
    assert sent.left[0][0].path == gone.path


def test_a_checkpoint_that_is_replaced_while_it_is_sent_is_told_as_it_was_sent(
    store: Path, bucket: Bucket
) -> None:
    path = store / "checkpoints" / "base.12ab.safetensors"

    class Slow(Counting):
        def put(self, source, key):
            artifacts.write_bytes(path, b"newer weights")
            return super().put(source, key)

    wanted = partial.waiting(store, set(), {"models/base": "weights-base"})
    (part,), _sent = partial.send(store, wanted, Slow(bucket), Deadline())
    assert bucket.read(part.key) == b"weights"
    assert part.bytes == len(b"weights")


GOOD = {"path": "activations/a.json", "bytes": 1, "sha256": "0" * 64, "stage": "extract@base"}


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../etc/passwd"},
        {"path": "/etc/passwd"},
        {"path": "machine"},
        {"path": "activations/.claims"},
        {"path": "activations/../machine.json"},
        {"path": "checkpoints/a.pkl"},
        {"path": 3},
        {"sha256": "../../x"},
        {"sha256": "0" * 63},
        {"md5": "x"},
        {"bytes": -1},
        {"bytes": True},
        {"stage": None},
        {"extra": 1},
    ],
)
def test_an_index_from_a_stranger_cannot_name_what_is_none_of_its_business(
    change: dict[str, object],
) -> None:
    value = {"format": 1, "machine": "m", "commit": "c", "branch": "main"}
    good = {**value, "parts": [GOOD]}
    assert partial.parse_index(json.dumps(good).encode(), "here").parts == (Part(**GOOD),)
    with pytest.raises(UserError, match="here is no list of unfinished work"):
        partial.parse_index(json.dumps({**value, "parts": [GOOD | change]}).encode(), "here")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"format": 2}', b"\xff", b'{"format": 1, "parts": {"a": 1}}'],
)
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(UserError, match="no list of unfinished work"):
        partial.parse_index(data, "here")


@pytest.mark.parametrize("name", ["", "../x", 3, None])
def test_the_machine_of_an_index_is_a_plain_name(name: object) -> None:
    value = {"format": 1, "machine": name, "commit": "c", "branch": "main", "parts": []}
    with pytest.raises(UserError, match="no list of unfinished work"):
        partial.parse_index(json.dumps(value).encode(), "here")


WAITING = """
import sys, time
from pathlib import Path
from backtracking.operations import partial
from backtracking.operations.deadlines import Deadline
start = time.monotonic()
with partial.alone(Path(sys.argv[1]), Deadline.after(0.9)):
    print(time.monotonic() - start)
"""


def test_two_backups_of_one_store_take_turns_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAITING, str(tmp_path)]
    with partial.alone(tmp_path, Deadline()):
        waited = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 0.25 < float(waited) < 0.9
    waited = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(waited) < 0.2


def test_a_machine_keeps_its_name_and_another_one_has_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = machine.name(tmp_path)
    assert machine.name(tmp_path) == name
    assert machine.name(tmp_path / "other") != name
    (tmp_path / "machine").write_text("../../nonsense\n")
    assert machine.name(tmp_path) != name
    monkeypatch.setattr("socket.gethostname", lambda: "a copy of the disk")
    (tmp_path / "machine").write_text(name.split("-")[0] + "\n")
    assert machine.name(tmp_path).split("-")[0] == name.split("-")[0]
    assert machine.name(tmp_path) != name


def test_all_threads_that_ask_first_get_one_name(tmp_path: Path) -> None:
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(machine.name(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names) == 8
    assert len(set(names)) == 1
