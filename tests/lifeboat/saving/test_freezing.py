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
