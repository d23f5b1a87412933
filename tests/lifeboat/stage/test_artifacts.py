"""Whole files or none: what a crash, a link, a full disk and a missing permission leave behind."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

WRITERS: dict[str, Callable[[Path], None]] = {
    "bytes": lambda path: artifacts.write_bytes(path, b"new"),
    "text": lambda path: artifacts.write_text(path, "new"),
    "json": lambda path: artifacts.write_json(path, {"new": 1}),
    "jsonl": lambda path: artifacts.write_jsonl(path, [{"new": 1}]),
    "csv": lambda path: artifacts.write_csv(path, [{"new": 1}], ["new"]),
}
by_writer = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


def fail_with(code: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@by_writer
def test_a_write_onto_a_linked_read_only_file_leaves_the_other_link_alone(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    cached, path = tmp_path / "cache", tmp_path / "out"
    cached.write_bytes(b"old")
    cached.chmod(0o444)
    os.link(cached, path)
    write(path)
    assert cached.read_bytes() == b"old" and cached.stat().st_mode & 0o777 == 0o444
    assert b"new" in path.read_bytes() and cached.stat().st_nlink == 1


@by_writer
@pytest.mark.parametrize("broken", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_bytes_and_nothing_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], broken: str
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, broken, fail_with(errno.ENOSPC))
    with pytest.raises(UserError, match="could not be written: No space left on device") as error:
        write(path)
    assert "Nothing was overwritten" in str(error.value) and "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["out"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("crash", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_crash_in_the_middle_leaves_the_old_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crash: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def stop(*_: Any) -> None:
        raise crash

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(crash):
        artifacts.write_bytes(path, b"new")
    assert os.listdir(tmp_path) == ["out"] and path.read_bytes() == b"old"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_no_permission_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """By a stand-in for the system's refusal, since root is refused nothing."""
    monkeypatch.setattr(tempfile, "mkstemp", fail_with(code))
    monkeypatch.setattr(tempfile, "mkdtemp", fail_with(code))
    with pytest.raises(UserError, match=f"out could not be written: {os.strerror(code)}"):
        artifacts.write_text(tmp_path / "out", "new")
    with (
        pytest.raises(UserError, match=f"out could not be written: {os.strerror(code)}"),
        artifacts.new_folder(tmp_path / "out"),
    ):
        raise AssertionError("not reached")


def test_json_is_sorted_ends_in_a_newline_and_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "value.json"
    artifacts.write_json(path, {"b": [1, 2.5], "a": None})
    assert path.read_text() == '{\n  "a": null,\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    assert artifacts.read_json(path) == {"a": None, "b": [1, 2.5]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.write_json(path, {"a": float("nan")})
    assert artifacts.read_json(path) == {"a": None, "b": [1, 2.5]}


def test_a_table_has_six_digits_empty_cells_and_quotes(tmp_path: Path) -> None:
    rows = [{"name": 'a, "b"', "value": 1 / 3}, {"name": "c", "value": None}]
    artifacts.write_csv(tmp_path / "table.csv", rows, ["name", "value", "n"])
    expected = 'name,value,n\n"a, ""b""",0.333333,\nc,,\n'
    assert (tmp_path / "table.csv").read_text() == expected


def test_a_file_that_is_missing_or_broken_is_told_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not exist. Make it with `dvc"):
        artifacts.read_json(tmp_path / "none.json")
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(UserError, match=r"half.json is not JSON: .*dvc pull"):
        artifacts.read_json(tmp_path / "half.json")


def test_a_new_folder_takes_its_place_whole(tmp_path: Path) -> None:
    out, cached = tmp_path / "out", tmp_path / "cache"
    out.mkdir()
    cached.write_text("old")
    os.link(cached, out / "old")
    with artifacts.new_folder(out) as fresh:
        artifacts.write_text(fresh / "file", "new")
        assert os.listdir(out) == ["old"]
    assert os.listdir(out) == ["file"] and cached.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["cache", "out"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_a_crash_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    with pytest.raises(KeyboardInterrupt), artifacts.new_folder(out) as fresh:
        artifacts.write_text(fresh / "file", "new")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["out"] and (out / "old").read_text() == "old"


def test_a_crash_between_the_two_renames_does_not_lose_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, replace = tmp_path / "out", os.replace
    out.mkdir()
    (out / "old").write_text("old")

    def second_fails(source: str, target: str) -> None:
        if Path(target) == out and ".new." in str(source):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with (
        pytest.raises(UserError, match="out could not be written"),
        artifacts.new_folder(out) as fresh,
    ):
        artifacts.write_text(fresh / "file", "new")
    assert os.listdir(tmp_path) == ["out"] and (out / "old").read_text() == "old"


def test_what_a_killed_process_left_long_ago_is_swept(tmp_path: Path) -> None:
    old, recent = tmp_path / ".out.new.killed", tmp_path / ".out.new.running"
    for folder in (old, recent):
        folder.mkdir()
    os.utime(old, (0, 0))
    with artifacts.new_folder(tmp_path / "out"):
        pass
    assert not old.exists() and recent.exists()


def test_a_link_is_one_inode_and_a_copy_where_links_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_text("bytes")
    artifacts.link_or_copy(source, tmp_path / "in" / "linked")
    assert (tmp_path / "in" / "linked").samefile(source)
    monkeypatch.setattr(os, "link", fail_with(errno.EXDEV))
    artifacts.link_or_copy(source, tmp_path / "copied")
    assert not (tmp_path / "copied").samefile(source)
    assert (tmp_path / "copied").read_text() == "bytes"


def test_space_is_asked_for_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    target = tmp_path / "not" / "made" / "yet"
    artifacts.require_free_space(target, 9 * 10**8, "Extraction")
    with pytest.raises(UserError, match=r"needs about 0.98 GB, and .* has 1.00 GB free. Free some"):
        artifacts.require_free_space(target, 98 * 10**7, "Extraction")


def test_hashes_are_of_bytes_and_of_values_whatever_their_order(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert artifacts.sha256_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")
    assert artifacts.sha256_json({"a": 1, "b": 2}) == artifacts.sha256_json({"b": 2, "a": 1})
    assert artifacts.sha256_json({"a": 1}) != artifacts.sha256_json({"a": 2})


def test_json_lines_are_read_back(tmp_path: Path) -> None:
    rows = [{"b": 1, "a": "x"}, {"c": [1, None]}]
    artifacts.write_jsonl(tmp_path / "rows.jsonl", rows)
    first = (tmp_path / "rows.jsonl").read_text().splitlines()[0]
    assert first == json.dumps(rows[0], sort_keys=True)
    assert list(artifacts.read_jsonl(tmp_path / "rows.jsonl")) == rows
