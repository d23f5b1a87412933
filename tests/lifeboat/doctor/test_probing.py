import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from servers import CREDENTIALS

from lifeboat import deadlines
from lifeboat.deadlines import Deadline
from lifeboat.doctor import probing
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, Folder


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.serve("rclone", tmp_path_factory.mktemp("rclone")) as address:
        yield address


@pytest.fixture
def bucket(repository: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose DVC remote is a bucket of a real server."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    _point(repository, f"s3://{servers.BUCKET}/data", endpoint)
    return repository


def _point(root: Path, url: str, endpoint: str = "") -> None:
    lines = ["[core]", "    remote = there", "['remote \"there\"']", f"    url = {url}"]
    lines += [f"    endpointurl = {endpoint}"] if endpoint else []
    (root / ".dvc").mkdir(exist_ok=True)
    (root / ".dvc" / "config").write_text("\n".join(lines) + "\n")


def test_a_probe_is_written_read_and_deleted(bucket: Path, endpoint: str) -> None:
    item = probing.probe(bucket)
    assert (item.verdict, item.fact[:27]) == ("ok", "DVC's remote can be used: a"), item.fact
    assert servers.keys(endpoint) == {}


def test_wrong_keys_are_wrong(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another" * 6)
    item = probing.probe(bucket)
    assert item.verdict == "wrong"
    assert "another" not in item.fact


def test_a_bucket_that_is_not_there_is_wrong(bucket: Path, endpoint: str) -> None:
    _point(bucket, "s3://no-such-bucket/data", endpoint)
    item = probing.probe(bucket)
    assert item.verdict == "wrong"
    assert "no-such-bucket" in item.fact


def test_a_folder_that_cannot_be_written_is_wrong(repository: Path) -> None:
    (repository.parent / "file").write_text("no folder")
    _point(repository, str(repository.parent / "file" / "remote"))
    assert probing.probe(repository).verdict == "wrong"


def test_a_store_that_changes_bytes_is_wrong_and_one_that_keeps_them_is_a_warning(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _point(repository, str(repository.parent / "remote"))
    monkeypatch.setattr(Bucket, "read", lambda *_: b"other")
    assert "gave other bytes back" in probing.probe(repository).fact
    monkeypatch.undo()
    monkeypatch.setattr(Folder, "remove", lambda *_: None)
    item = probing.probe(repository)
    assert item.verdict == "warning"
    assert "still shows what was deleted" in item.fact


def test_no_remote_is_wrong_and_has_a_cure(repository: Path) -> None:
    (repository / ".dvc").mkdir()
    (repository / ".dvc" / "config").write_text("")
    (item,) = probing.items(repository, Deadline.after(1.0))
    assert item.verdict == "wrong"
    assert "lifeboat remote set" in item.cure


def test_a_slow_start_is_told_from_a_remote_that_hangs(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = remote.Remote("there", "s3://study")
    item = probing.ask(repository, where, Deadline.after(0.01))
    assert (item.verdict, "took more than" in item.fact) == ("warning", True)

    def killed(*_arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], deadlines.TIMED_OUT, f"{probing.READY}\n", "")

    monkeypatch.setattr(deadlines, "call", killed)
    item = probing.ask(repository, where, Deadline.after(7.0))
    assert (item.verdict, item.fact) == (
        "wrong",
        "DVC's remote `there` did not answer within 7 s.",
    )


def test_a_crash_is_told_in_its_last_words(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashed(*_arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 1, f"{probing.READY}\n", "Oh\nImportError: no dvc\n")

    monkeypatch.setattr(deadlines, "call", crashed)
    item = probing.ask(repository, remote.Remote("there", "s3://study"), Deadline.after(7.0))
    assert item.verdict == "wrong"
    assert "ImportError: no dvc" in item.fact
