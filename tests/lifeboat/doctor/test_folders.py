import errno
import os
import time
from pathlib import Path

import pytest
from refusals import CALLS, ERRNOS, refuse, refuse_past_cache, refusing

from lifeboat.doctor import folders
from lifeboat.items import Item
from lifeboat.stage import abilities

pytestmark = pytest.mark.kind(4)

SAYS = {
    "fcntl.lockf": ("lock bytes of a file", "two processes may do the same work", "-o flock"),
    "fcntl.flock": ("lock whole files", "DVC cannot start", "core.hardlink_lock true"),
    "os.link": ("link files", "copied before it is sent", "a disk that links"),
    "os.chmod": ("set the modes", "left to the mount", "Nothing needs doing"),
    "os.fsync": ("flush files", "made again", "Nothing needs doing"),
    "os.utime": ("set the times", "file of claims", "Nothing needs doing"),
    "os.replace": ("rename a file", "DVC can keep no result here", "on another disk"),
}


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    abilities._refusal.cache_clear()
    monkeypatch.setattr(os, "fsync", lambda _: None)  # which takes most of the time
    monkeypatch.setattr(abilities, "PAST_CACHE", 0)


def warnings(root: Path) -> list[Item]:
    return [item for item in folders.items(root) if item.verdict != "ok"]


def test_a_disk_that_can_do_all_of_it_is_one_line_and_keeps_nothing(tmp_path: Path) -> None:
    (item,) = folders.items(tmp_path)
    assert item == Item(f"The disk of {tmp_path} locks, links, renames and flushes as it should.")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("code", ERRNOS[::4])
@pytest.mark.parametrize("call", SAYS)
def test_what_a_disk_cannot_do_is_told_with_its_price_its_words_and_a_cure(
    call: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, call, code)
    first = warnings(tmp_path)[0]
    ability, price, cure = SAYS[call]
    assert f"{tmp_path} cannot {ability}" in first.fact
    assert f"({os.strerror(code)})" in first.fact and price in first.fact
    assert cure in first.cure
    assert first.verdict == ("wrong" if call == "os.replace" else "warning")
    assert os.listdir(tmp_path) == []


def test_every_call_that_a_file_system_may_refuse_has_its_line() -> None:
    of_the_machine = {"os.setpriority", "shutil.disk_usage"}
    assert SAYS.keys() == CALLS.keys() - of_the_machine - {"fcntl.fcntl"}


def test_writes_past_the_cache_are_really_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(abilities, "PAST_CACHE", os.O_DIRECT)
    refuse_past_cache(monkeypatch, errno.EINVAL)
    (item,) = warnings(tmp_path)
    assert "cannot write past the page cache (O_DIRECT) (Invalid argument)" in item.fact


def test_a_folder_in_which_nothing_can_be_made_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.mkdtemp", refusing(errno.EROFS))
    (item,) = folders.items(tmp_path)
    assert (item.verdict, "Read-only file system" in item.fact) == ("wrong", True)


def test_a_store_on_a_disk_of_its_own_is_asked_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / ".cache" / "store"
    store.mkdir(parents=True)
    assert len(folders.items(tmp_path)) == 1
    monkeypatch.setattr(folders, "_disk", str)
    assert [str(store) in item.fact for item in folders.items(tmp_path)] == [True, False]


@pytest.mark.parametrize(
    ("seconds", "said"), [(7200, "7200 s ahead of that of"), (-90, "90 s behind that of")]
)
def test_a_clock_that_is_not_the_disks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + seconds)
    (item,) = warnings(tmp_path)
    assert said in item.fact and "timedatectl" in item.cure
