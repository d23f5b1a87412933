"""What comes from a remote takes its place on any file system."""

import errno
import os
from pathlib import Path

import pytest
from refusals import by_errno, refuse

from lifeboat.remotes.bucket import Bucket, open_bucket
from lifeboat.remotes.store_errors import StoreError
from lifeboat.restoring import arriving
from lifeboat.restoring.arriving import Refusal
from lifeboat.stage.abilities import LOST

pytestmark = pytest.mark.kind(4)


def bring(bucket: Bucket, folder: Path) -> Refusal | None:
    (folder / "gate").mkdir()
    place = folder / "cache" / "ab" / "cd"
    with arriving.gate(folder / "gate"):
        said = arriving.bring(bucket, "files/one", place, folder / "gate", lambda _: True, 0o444)
    assert said or place.read_bytes() == b"bytes"
    return said


@pytest.fixture
def bucket(project: Path) -> Bucket:
    bucket = open_bucket(project)
    bucket.write("files/one", b"bytes")
    return bucket


@by_errno
@pytest.mark.parametrize("call", ["os.chmod", "os.replace"])
def test_what_comes_takes_its_place_whatever_is_refused(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes most of the time
    refuse(monkeypatch, call, code)
    if call == "os.replace" and code in LOST:
        with pytest.raises(StoreError, match="cd"):
            bring(bucket, tmp_path)
    else:
        assert bring(bucket, tmp_path) is None


def test_what_belongs_on_another_disk_is_copied_there_whole(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def on_one_disk(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(source, target)

    monkeypatch.setattr(os, "replace", on_one_disk)
    assert bring(bucket, tmp_path) is None
    place = tmp_path / "cache" / "ab"
    assert os.listdir(place) == ["cd"] and (place / "cd").stat().st_mode & 0o777 == 0o444
