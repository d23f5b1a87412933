"""Backups of a project whose file system refuses what not every one can do."""

import errno
import hashlib
import os
import subprocess
import time
from pathlib import Path

import pytest
from refusals import CALLS, refuse

from lifeboat import items
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import backup, partial, store
from lifeboat.stage import artifacts

pytestmark = pytest.mark.kind(4)

ACTIVATIONS = "data/interim/activations/base"


@pytest.fixture
def begun(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a stage that has made a unit, and a git remote on another machine."""
    stage = (
        f"  extract:\n    cmd: sleep 9\n    deps: [data/raw/numbers]\n    outs: [{ACTIVATIONS}]\n"
    )
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text() + stage)
    name = f"{'ab' * 32}.{hashlib.sha256(b'aa').hexdigest()}.safetensors"
    artifacts.write_bytes(project / ".cache" / "store" / ACTIVATIONS / name, b"aa")
    there = str(tmp_path / "there.git")
    subprocess.run(["git", "init", "--quiet", "--bare", there], check=True)
    subprocess.run(["git", "remote", "add", "origin", there], cwd=project, check=True)
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)
    return project


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        (["os.link"], errno.EPERM),
        (["os.link"], errno.EMLINK),
        (["os.chmod", "os.utime"], errno.ENOSYS),
        (["fcntl.lockf", "fcntl.flock", "shutil.disk_usage"], errno.EAGAIN),
        ([call for call in CALLS if call != "os.replace"], errno.EINVAL),
    ],
)
def test_all_of_it_is_saved_from_a_disk_that_refuses(
    begun: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str], code: int
) -> None:
    for call in calls:
        refuse(monkeypatch, call, code)
    found = backup.backup(begun)
    assert items.proven(found), [item for item in found if item.verdict == "wrong"]
    (index,) = partial.read_indexes(open_bucket(begun))
    assert [part.bytes for part in index.parts] == [2]


@pytest.mark.parametrize("seconds", [2 * store.FRESH_PARTS_S, 10.0 * 365 * 86_400])
def test_a_machine_whose_clock_is_ahead_prunes_nothing_that_is_young(
    begun: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Parts that a backup has sent and not yet named, and units that a run has just written."""
    bucket = open_bucket(begun)
    bucket.write(f"{partial.OBJECTS}{'ab' * 32}", b"just sent")
    artifacts.write_text(begun / ".cache" / "store" / "results" / "sum" / "unit", "just made")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + seconds)
    said = " ".join(item.fact for item in store.prune(begun) + store.prune_remote(begun))
    assert "Removed 0 files" in said and "Removed 0 parts" in said
    assert [stored.bytes for stored in bucket.list(partial.OBJECTS)] == [9]
    assert not list(bucket.list("prune-"))


def test_old_units_go_by_the_clock_of_their_disk(begun: Path) -> None:
    path = begun / ".cache" / "store" / "results" / "sum" / "unit"
    artifacts.write_text(path, "of a run long ago")
    os.utime(path, (0, time.time() - 2 * store.FRESH_S))
    with artifacts.replaced(path.with_name("slow")) as being_written:
        os.utime(being_written, (0, time.time() - 2 * store.FRESH_S))
        assert "Removed 1 files" in store.prune(begun)[0].fact
        assert being_written.exists() and not path.exists()
