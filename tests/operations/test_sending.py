import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backtracking.errors import UserError
from backtracking.operations import manifests, sending
from backtracking.operations.bucket import Bucket, open_bucket
from backtracking.operations.deadlines import Deadline
from backtracking.operations.expected import Expected
from backtracking.operations.sending import Job, Sent
from backtracking.operations.store_errors import StoreError


@dataclass(frozen=True)
class Lost:
    """An object that a remote lacks."""

    oid: str
    path: str
    stage: str


def job(
    name: str, act: Callable[[], None], n_bytes: int = 1, rank: int = 0, after: str = ""
) -> Job:
    return Job(name, name, "stage", rank, n_bytes, act, frozenset(filter(None, after.split())))


def names(jobs: Iterator[Job] | tuple[Job, ...]) -> list[str]:
    return [one.name for one in jobs]


def reasons(sent: Sent) -> dict[str, str]:
    return {one.name: reason for one, reason in sent.left}


def fail(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def nothing() -> None:
    """Sends at once."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSES", (0.0, 0.0))


def test_small_and_rare_things_go_first_and_a_list_right_after_its_files() -> None:
    order: list[str] = []
    jobs = [
        job(name, lambda name=name: order.append(name), n_bytes, rank, after)
        for name, n_bytes, rank, after in (
            ("activations", 5, 5, ""),
            ("weights", 9, 1, ""),
            ("results.dir", 1, 0, "results-2 results-1"),
            ("results-2", 2, 0, ""),
            ("results-1", 1, 0, ""),
        )
    ]
    sent = sending.run(jobs, Deadline(), n_threads=1)
    assert order == ["results-1", "results-2", "results.dir", "weights", "activations"]
    assert sorted(names(sent.done)) == sorted(order)
    assert sent.left == ()


def test_a_list_stays_back_when_one_of_its_files_fails() -> None:
    jobs = [
        job("a", nothing),
        job("b", fail(UserError("it is damaged."))),
        job("list.dir", nothing, after="a b"),
    ]
    sent = sending.run(jobs, Deadline())
    assert names(sent.done) == ["a"]
    assert reasons(sent) == {"b": "it is damaged.", "list.dir": "1 of its files are not there"}


def test_what_hangs_is_named_and_left_behind_at_the_deadline() -> None:
    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    jobs = [job("quick", nothing), job("stuck", hang, rank=1)]
    start = time.monotonic()
    sent = sending.run(jobs, Deadline.after(0.3), n_threads=2)
    release.set()
    assert time.monotonic() - start < 2
    assert names(sent.done) == ["quick"]
    assert "on its way" in reasons(sent)["stuck"]


def test_nothing_is_begun_that_cannot_end_in_time() -> None:
    begun: list[str] = []

    def slowly(name: str, seconds: float) -> Callable[[], None]:
        def act() -> None:
            begun.append(name)
            time.sleep(seconds)

        return act

    jobs = [
        job("first", slowly("first", 0.2), 2 * 2**20),
        job("huge", slowly("huge", 9), 2**30, rank=1),
        job("small", slowly("small", 0), 10, rank=2),
    ]
    sent = sending.run(jobs, Deadline.after(5), n_threads=1)
    assert begun == ["first", "small"]
    assert "it takes about" in reasons(sent)["huge"]


def test_a_remote_that_takes_nothing_is_not_asked_for_every_object() -> None:
    tried: list[int] = []

    def act() -> None:
        tried.append(1)
        raise StoreError("denied", "s3://study", "AccessDenied")

    sent = sending.run([job(str(n), act) for n in range(100)], Deadline(), n_threads=1)
    assert len(tried) == 1
    assert len(sent.left) == 100
    assert "not tried" in reasons(sent)["99"]
    tried.clear()

    def overloaded() -> None:
        tried.append(1)
        raise StoreError("throttled", "s3://study", "SlowDown")

    sending.run([job(str(n), overloaded) for n in range(100)], Deadline(), n_threads=1)
    assert len(tried) == sending._IN_A_ROW


def test_damaged_objects_do_not_stop_the_others() -> None:
    jobs = [job(f"bad {n}", fail(UserError("damaged"))) for n in range(30)]
    sent = sending.run([*jobs, job("good", nothing, rank=9)], Deadline(), n_threads=1)
    assert names(sent.done) == ["good"]


@pytest.fixture
def remote_folder(project: Path, tmp_path: Path) -> Path:
    """The remote of `project`, which is empty."""
    return tmp_path / "remote"


def lost_of(project: Path) -> list[Lost]:
    """All objects in the project's cache."""
    found = []
    for path in sorted((project / ".dvc" / "cache" / "files" / "md5").rglob("*")):
        if path.is_file():
            found.append(Lost(path.parent.name + path.name, f"results/{path.name}", "sum"))
    return found


def send(project: Path, lost: list[Lost], bucket: Bucket | None = None) -> Sent:
    expected = Expected((), cache=project / ".dvc" / "cache")
    where = bucket or open_bucket(project)
    return sending.send(lost, expected, project, where, Deadline())


def test_every_object_arrives_under_its_key(project: Path, remote_folder: Path) -> None:
    lost = lost_of(project)
    sent = send(project, lost)
    assert len(sent.done) == len(lost) == 5
    assert sent.left == ()
    for one in lost:
        data = (remote_folder / manifests.key(one.oid)).read_bytes()
        assert hashlib.md5(data).hexdigest() == one.oid.removesuffix(".dir")
    assert not list((project / ".dvc" / "tmp").glob("sending.*"))


def test_a_damaged_cache_object_is_never_sent_and_its_list_stays_back(
    project: Path, remote_folder: Path
) -> None:
    lost = lost_of(project)
    bad = next(one for one in lost if not one.oid.endswith(".dir"))
    path = project / ".dvc" / "cache" / manifests.key(bad.oid)
    path.chmod(0o644)
    path.write_bytes(b"other bytes")
    sent = send(project, lost)
    assert "does not hash to its name" in reasons(sent)[bad.oid]
    assert "dvc --wait-for-lock repro sum" in reasons(sent)[bad.oid]
    assert not (remote_folder / manifests.key(bad.oid)).exists()
    for one in lost:
        if (
            one.oid.endswith(".dir")
            and bad.oid in (project / ".dvc" / "cache" / manifests.key(one.oid)).read_text()
        ):
            assert not (remote_folder / manifests.key(one.oid)).exists()


def test_an_object_that_the_cache_lost_comes_from_the_workspace(
    project: Path, remote_folder: Path
) -> None:
    file = project / "results" / "sum" / "sum.txt"
    oid = hashlib.md5(file.read_bytes()).hexdigest()
    path = project / ".dvc" / "cache" / manifests.key(oid)
    path.unlink()
    sent = send(project, [Lost(oid, "results/sum/sum.txt", "sum")])
    assert names(sent.done) == [oid]
    assert (remote_folder / manifests.key(oid)).read_bytes() == file.read_bytes()
    file.unlink()
    file.write_text("other\n")
    (remote_folder / manifests.key(oid)).unlink()
    sent = send(project, [Lost(oid, "results/sum/sum.txt", "sum")])
    assert "not in DVC's cache" in reasons(sent)[oid]
    assert not (remote_folder / manifests.key(oid)).exists()


class Moody(Bucket):
    """A remote that fails a few times first, or says that it has something else."""

    def __init__(self, inner: Bucket, n_failures: int, md5: str | None = None) -> None:
        self.url, self._own, self.n_left, self.said = inner.url, inner, n_failures, md5

    def put(self, source, key):
        if self.n_left:
            self.n_left -= 1
            raise StoreError("unreachable", self.url, "reset")
        stored = self._own.put(source, key)
        return type(stored)(stored.key, stored.bytes, self.said)


def test_a_connection_that_breaks_twice_is_tried_a_third_time(project: Path) -> None:
    lost = lost_of(project)[:1]
    assert send(project, lost, Moody(open_bucket(project), 2)).left == ()
    sent = send(project, lost, Moody(open_bucket(project), 3))
    assert "reset" in reasons(sent)[lost[0].oid]


def test_what_the_store_says_it_has_is_compared_with_what_was_sent(project: Path) -> None:
    lost = lost_of(project)[:1]
    sent = send(project, lost, Moody(open_bucket(project), 0, "0" * 32))
    assert "something else than what was sent" in reasons(sent)[lost[0].oid]


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    with sending.frozen(path, tmp_path / "own") as hashed:
        (tmp_path / "new").write_bytes(b"new!")
        os.replace(tmp_path / "new", path)
        assert hashed.path.read_bytes() == b"old"
        assert hashed.sha256 == hashlib.sha256(b"old").hexdigest()
        assert hashed.md5 == hashlib.md5(b"old").hexdigest()
        assert hashed.bytes == 3
    assert list((tmp_path / "own").iterdir()) == []


def test_links_of_a_killed_sending_are_swept_when_they_are_old(tmp_path: Path) -> None:
    for name in ("sending.old", "sending.new", "other"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "file").touch()
    os.utime(tmp_path / "own" / "sending.old", (0, 0))
    sending.sweep(tmp_path / "own")
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["other", "sending.new"]
