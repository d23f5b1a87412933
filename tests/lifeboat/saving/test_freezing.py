import hashlib
import os
from pathlib import Path

from lifeboat.saving import freezing


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"old")
    with freezing.frozen(path, tmp_path / "own") as hashed:
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
    freezing.sweep(tmp_path / "own")
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["other", "sending.new"]
