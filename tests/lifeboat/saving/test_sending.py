import hashlib
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline
from lifeboat.proof import manifests
from lifeboat.proof.expected import Expected
from lifeboat.proof.inspection import Finding
from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.saving import sending
from lifeboat.saving.jobs import Sent


def lost(oid: str, path: str) -> Finding:
    """An object that a remote lacks."""
    return Finding(oid, path, "sum", "", ())


def names(sent: Sent) -> list[str]:
    return [one.name for one in sent.done]


def reasons(sent: Sent) -> dict[str, str]:
    return {one.name: reason for one, reason in sent.left}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_PAUSES", (0.0, 0.0))


@pytest.fixture
def remote_folder(project: Path, tmp_path: Path) -> Path:
    """The remote of `project`, which is empty."""
    return tmp_path / "remote"


def lost_of(project: Path) -> list[Finding]:
    """All objects in the project's cache."""
    found = []
    for path in sorted((project / ".dvc" / "cache" / "files" / "md5").rglob("*")):
        if path.is_file():
            found.append(lost(path.parent.name + path.name, f"results/{path.name}"))
    return found


def send(project: Path, objects: list[Finding], bucket: Bucket | None = None) -> Sent:
    expected = Expected((), cache=project / ".dvc" / "cache")
    where = bucket or open_bucket(project)
    return sending.send(objects, expected, project, where, Deadline())


def test_every_object_arrives_under_its_key(project: Path, remote_folder: Path) -> None:
    objects = lost_of(project)
    sent = send(project, objects)
    assert len(sent.done) == len(objects) == 5
    assert sent.left == ()
    for one in objects:
        data = (remote_folder / manifests.key(one.oid)).read_bytes()
        assert hashlib.md5(data).hexdigest() == one.oid.removesuffix(".dir")
    assert not list((project / ".dvc" / "tmp").glob("sending.*"))


def test_a_damaged_cache_object_is_never_sent_and_its_list_stays_back(
    project: Path, remote_folder: Path
) -> None:
    objects = lost_of(project)
    bad = next(one for one in objects if not one.oid.endswith(".dir"))
    path = project / ".dvc" / "cache" / manifests.key(bad.oid)
    path.chmod(0o644)
    path.write_bytes(b"other bytes")
    sent = send(project, objects)
    assert "does not hash to its name" in reasons(sent)[bad.oid]
    assert "dvc --wait-for-lock repro sum" in reasons(sent)[bad.oid]
    assert not (remote_folder / manifests.key(bad.oid)).exists()
    for one in objects:
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
    sent = send(project, [lost(oid, "results/sum/sum.txt")])
    assert names(sent) == [oid]
    assert (remote_folder / manifests.key(oid)).read_bytes() == file.read_bytes()
    file.unlink()
    file.write_text("other\n")
    (remote_folder / manifests.key(oid)).unlink()
    sent = send(project, [lost(oid, "results/sum/sum.txt")])
    assert "neither DVC's cache nor the workspace" in reasons(sent)[oid]
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

    def require_open(self, stored):
        return self._own.require_open(stored)

    def digest(self, key, kind="md5"):
        return self.said or self._own.digest(key, kind)


def test_a_connection_that_breaks_twice_is_tried_a_third_time(project: Path) -> None:
    objects = lost_of(project)[:1]
    assert send(project, objects, Moody(open_bucket(project), 2)).left == ()
    sent = send(project, objects, Moody(open_bucket(project), 3))
    assert "reset" in reasons(sent)[objects[0].oid]


def test_what_the_store_says_it_has_is_compared_with_what_was_sent(project: Path) -> None:
    objects = lost_of(project)[:1]
    sent = send(project, objects, Moody(open_bucket(project), 0, "0" * 32))
    assert "something else than what was sent" in reasons(sent)[objects[0].oid]
