import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from servers import Place

from lifeboat.remotes import remote
from lifeboat.remotes.bucket import Bucket, Stored, open_bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.stage.errors import UserError

KEY = "files/md5/ab/cdef"


@pytest.fixture
def bucket(placed: Path) -> Bucket:
    return open_bucket(placed)


def test_what_is_put_is_found_listed_read_and_removed(
    bucket: Bucket, place: Place, tmp_path: Path
) -> None:
    data = os.urandom(300_000)
    (tmp_path / "source").write_bytes(data)
    md5 = hashlib.md5(data).hexdigest()
    assert list(bucket.list("")) == []
    assert bucket.find(KEY) is None
    stored = bucket.put(tmp_path / "source", KEY)
    assert (stored.key, stored.bytes) == (KEY, len(data))
    assert stored.md5 == (None if place.kind == "folder" else md5)
    assert bucket.write("partial/index/a.json", b"{}").bytes == 2
    assert place.sizes() == {KEY: len(data), "partial/index/a.json": 2}
    assert list(bucket.list("files/md5/ab/")) == [stored] == list(bucket.list("files"))
    assert {found.key for found in bucket.list("")} == {KEY, "partial/index/a.json"}
    assert list(bucket.list("files/md5/a")) == []
    assert bucket.find("files/md5/ab") is None
    assert bucket.read(KEY) == data
    assert bucket.digest(KEY) == md5
    bucket.get(KEY, tmp_path / "deep" / "target")
    assert (tmp_path / "deep" / "target").read_bytes() == data
    bucket.remove(KEY)
    bucket.remove(KEY)
    assert place.sizes() == {"partial/index/a.json": 2}


def test_an_object_is_replaced_and_the_store_is_asked_again_each_time(
    bucket: Bucket, place: Place
) -> None:
    bucket.write(KEY, b"old")
    assert [found.bytes for found in bucket.list("files/")] == [3]
    place.put(KEY, b"changed by another")
    assert [found.bytes for found in bucket.list("files/")] == [18]
    bucket.write(KEY, b"new")
    assert bucket.read(KEY) == b"new"


def test_an_object_that_is_not_there_is_told_and_leaves_nothing_behind(
    bucket: Bucket, tmp_path: Path
) -> None:
    target = tmp_path / "arrivals" / "target"
    acts: list[Callable[[], object]] = [
        lambda: bucket.read(KEY),
        lambda: bucket.digest(KEY),
        lambda: bucket.get(KEY, target),
    ]
    for act in acts:
        with pytest.raises(StoreError) as caught:
            act()
        assert caught.value.kind == "missing object"
    assert list(target.parent.iterdir()) == []


def test_a_file_that_cannot_be_read_leaves_nothing_in_the_remote(
    bucket: Bucket, place: Place, tmp_path: Path
) -> None:
    with pytest.raises(StoreError):
        bucket.put(tmp_path / "nothing", KEY)
    assert place.sizes() == {}


def test_a_key_never_leads_out_of_the_remote(bucket: Bucket) -> None:
    for key in ("../x", "files/../../x", "/etc/passwd"):
        with pytest.raises(UserError, match="leads out"):
            bucket.read(key)
        with pytest.raises(UserError, match="leads out"):
            list(bucket.list(key))


def test_more_objects_than_a_page_of_s3_are_all_listed(
    bucket: Bucket, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {f"files/md5/ab/{number:030x}" for number in range(7)}
    for key in keys:
        place.put(key, b"x")
    if place.kind != "folder":
        whole = bucket._inner.call_s3
        monkeypatch.setattr(bucket._inner, "call_s3", lambda *a, **k: whole(*a, MaxKeys=2, **k))
    found = [stored.key for stored in bucket.list("files/md5/ab/")]
    assert sorted(found) == sorted(keys)


def test_there_is_a_word_for_no_remote_an_unknown_one_and_one_by_name(project: Path) -> None:
    with pytest.raises(UserError, match="no DVC remote 'nope'; known: local"):
        open_bucket(project, "nope")
    config = project / ".dvc" / "config"
    text = config.read_text()
    config.write_text(text.replace("remote = local", ""))
    with pytest.raises(UserError, match="no default remote"):
        open_bucket(project)
    config.write_text(text + "    worktree = true\n")
    with pytest.raises(UserError, match="by name"):
        open_bucket(project)
    config.write_text("[core\n")
    with pytest.raises(UserError, match="configuration cannot be read"):
        open_bucket(project)


def test_any_file_system_of_dvc_serves(project: Path, tmp_path: Path) -> None:
    from dvc_objects.fs.memory import MemoryFileSystem

    bucket = Bucket("memory://study", "/study", MemoryFileSystem(global_store=False))
    (tmp_path / "file").write_bytes(b"in memory")
    assert bucket.put(tmp_path / "file", KEY) == Stored(KEY, 9)
    assert [stored.key for stored in bucket.list("files/")] == [KEY]
    assert list(bucket.list("partial/")) == []
    assert bucket.digest(KEY) == hashlib.md5(b"in memory").hexdigest()
    bucket.get(KEY, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"in memory"
    bucket.remove(KEY)
    assert bucket.find(KEY) is None


def test_a_store_of_google_gives_its_md5(project: Path) -> None:
    from dvc_objects.fs.memory import MemoryFileSystem

    bucket = Bucket("gs://study", "study", MemoryFileSystem(global_store=False))
    info = {"size": 3, "md5Hash": "kAFQmDzST7DWlj99KOF/cg==", "etag": "x"}
    assert bucket._stored(KEY, info).md5 == hashlib.md5(b"abc").hexdigest()


def test_an_etag_under_a_key_service_is_no_md5(
    project: Path, moto_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import servers

    for name, value in servers.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    remote.set_default(project, f"s3://study/{tmp_path.name}", moto_server)
    with servers.client(moto_server) as s3:
        s3.put_object(
            Bucket="study",
            Key=f"{tmp_path.name}/{KEY}",
            Body=b"secret",
            ServerSideEncryption="aws:kms",
        )
    found = open_bucket(project).find(KEY)
    assert found is not None
    assert found.md5 is None
    assert found.etag
