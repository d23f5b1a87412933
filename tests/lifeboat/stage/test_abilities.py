"""What a file system may refuse: whatever it answers, work goes on, and nothing waits for ever."""

import errno
import os
from pathlib import Path

import pytest
from refusals import CALLS, ERRNOS, NEEDED, by_errno, calls_in, refuse, refusing

from backtracking import PROJECT_ROOT
from lifeboat import project
from lifeboat.deadlines import Deadline
from lifeboat.saving import freezing, store_parts
from lifeboat.stage import abilities, artifacts, claims, temporary
from lifeboat.stage.abilities import LOST
from lifeboat.stage.errors import UserError
from lifeboat.stage.steps import Steps
from lifeboat.stage.units import Units

pytestmark = pytest.mark.kind(4)

KEY, OUT = "ab" * 32, "results/numbers"
KEPT = {"os.fsync", "os.replace"}
"""Calls that are in earnest where the disk is full or broken."""


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waits for a lock"))
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes most of the time


def work(root: Path) -> None:
    """What a stage, a backup and a restore ask of a folder, each checked."""
    units = Units(root, ["lifeboat"])

    def total(steps: Steps) -> int:
        steps.keep(1, 20)
        assert steps.latest() == (1, 20)
        return 42

    assert units.resume(OUT, KEY, total) == 42
    assert units.get(OUT, KEY, lambda: pytest.fail("it is there")) == 42
    replace_linked_files(root / "out")
    replace_folders(root / "results")
    assert project.machine_name(root) == project.machine_name(root)
    with (
        store_parts.alone(units.store, Deadline()),
        freezing.frozen(root / "out", root / ".dvc" / "tmp") as hashed,
    ):
        assert hashed.path.read_bytes() == b"linked" and hashed.bytes == 6
    left = [
        path.name for path in root.rglob(".*") if path.name not in (".claims", ".cache", ".dvc")
    ]
    assert [name for name in left if name != ".claims"] == []


def replace_linked_files(path: Path) -> None:
    cached = path.with_name("cached")
    artifacts.write_text(path, "old")
    artifacts.link_or_copy(path, cached)
    artifacts.write_text(path, "new")
    artifacts.write_text(path.with_name("other"), "linked")
    assert (path.read_text(), cached.read_text()) == ("new", "old")
    for _ in range(2):
        artifacts.link_onto(path.with_name("other"), path)
        assert (path.read_text(), cached.read_text()) == ("linked", "old")


def replace_folders(path: Path) -> None:
    for text in ("first", "second"):
        with artifacts.new_folder(path) as fresh:
            artifacts.write_text(fresh / "deep" / text, text)
        assert [one.name for one in path.rglob("*")] == ["deep", text]


@by_errno
@pytest.mark.parametrize("call", CALLS)
def test_whatever_a_file_system_refuses_work_goes_on(
    call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, call, code)
    if call in KEPT and code in LOST:
        with pytest.raises(UserError, match=f"could not be written: {os.strerror(code)}"):
            work(tmp_path)
    else:
        work(tmp_path)


@by_errno
def test_a_file_system_that_refuses_all_of_it_is_worked_on(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for call in CALLS:
        if not (call in KEPT and code in LOST):
            refuse(monkeypatch, call, code)
    work(tmp_path)


def test_every_call_that_may_be_refused_is_among_those_that_are_tried() -> None:
    asked = ("lock", "chmod", "utime", "chown", "xattr", "link", "sync", "alloc", "trunc", "copy")
    asked += ("rename", "replace", "usage", "statvfs", "fcntl", "ioctl", "prio", "affinity", "move")
    found = {
        call
        for path in (PROJECT_ROOT / "src").rglob("*.py")
        for call in calls_in(path)
        if any(word in call.partition(".")[2] for word in asked) and call.islower()
    }
    assert "os.link" in found
    # the machine; git's index; where a link leads; a pipe
    harmless = {"os.sched_getaffinity", "shutil.copy2", "os.readlink", "os.set_blocking"}
    assert found <= CALLS.keys() | NEEDED | harmless


@by_errno
def test_a_lock_that_another_process_has_is_told_from_a_file_that_has_none(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = abilities.lock

    def held(descriptor: int, byte: int) -> None:
        if byte < abilities.BEYOND:
            raise OSError(code, os.strerror(code))
        lock(descriptor, byte)

    monkeypatch.setattr(abilities, "lock", held)
    assert not claims.take(tmp_path, KEY)
    monkeypatch.setattr(abilities, "lock", refusing(code))
    assert claims.take(tmp_path, KEY)
    claims.give_back(tmp_path, KEY)


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EIO, errno.ETIMEDOUT])
def test_a_link_that_was_made_and_called_refused_is_no_copy_onto_itself(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does it, when the answer to the first request was lost."""
    link = os.link

    def made(source: Path, target: Path) -> None:
        link(source, target)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", made)
    (tmp_path / "one").write_text("bytes")
    artifacts.link_or_copy(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").samefile(tmp_path / "one")


def test_a_copy_never_goes_into_the_file_that_was_there(tmp_path: Path) -> None:
    for name in ("new", "cached"):
        (tmp_path / name).write_text(name)
    os.link(tmp_path / "cached", tmp_path / "out")
    artifacts.link_or_copy(tmp_path / "new", tmp_path / "out")  # which a link is refused for
    assert (tmp_path / "out").read_text() == "new"
    assert (tmp_path / "cached").read_text() == "cached"


def test_the_65000th_link_to_a_file_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shard").write_text("bytes")
    monkeypatch.setattr(os, "link", refusing(errno.EMLINK))
    artifacts.link_onto(tmp_path / "shard", tmp_path / "out" / "shard")
    assert (tmp_path / "out" / "shard").read_text() == "bytes"
    assert os.listdir(tmp_path / "out") == ["shard"]


def refuse_folders(monkeypatch: pytest.MonkeyPatch, code: int, stopped_at: str = "") -> None:
    """Renames of folders are refused, as of an image's layer, and a file cannot be moved at all."""
    replace = os.replace

    def files_only(source: Path, target: Path) -> None:
        if Path(source).is_dir():
            raise OSError(code, os.strerror(code))
        if Path(source).name == stopped_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", files_only)


@pytest.mark.parametrize("code", sorted(set(ERRNOS) - LOST))
def test_a_folder_that_cannot_be_renamed_moves_file_by_file(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_folders(monkeypatch, code)
    replace_folders(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("stopped_at", ["a", "c", "z"])
def test_a_folder_that_moves_file_by_file_moves_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: str
) -> None:
    out = tmp_path / "out"
    for name in ("a", "b/c"):
        artifacts.write_text(out / name, "old")
    refuse_folders(monkeypatch, errno.EXDEV, stopped_at)
    with (
        pytest.raises(UserError, match="could not be written: No space"),
        artifacts.new_folder(out) as fresh,
    ):
        for name in ("y", "z"):
            (fresh / name).write_text("new")
    assert {path.relative_to(out).as_posix() for path in out.rglob("*")} == {"a", "b", "b/c"}
    assert os.listdir(tmp_path) == ["out"]


def test_the_name_of_a_machine_that_cannot_keep_one_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".cache").write_text("no folder")
    name = project.machine_name(tmp_path)
    assert project.machine_name(tmp_path) == name != project.machine_name(tmp_path / "other")
    (tmp_path / "full").mkdir()
    monkeypatch.setattr(temporary.tempfile, "mkstemp", refusing(errno.ENOSPC))
    assert project.machine_name(tmp_path / "full") == project.machine_name(tmp_path / "full")


@pytest.mark.parametrize("total", [None, 0])
def test_a_disk_that_does_not_say_what_is_free_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int | None
) -> None:
    usage = abilities.shutil.disk_usage(tmp_path)._replace(total=0, free=0)
    answer = refusing(errno.ENOSYS) if total is None else lambda _: usage
    monkeypatch.setattr(abilities.shutil, "disk_usage", answer)
    assert abilities.free_bytes(tmp_path) is None
    artifacts.require_free_space(tmp_path, 10**18, "Extraction")
