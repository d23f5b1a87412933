"""Where DVC says yes and data is lost: rows of what is known of DVC, each with our own no."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from servers import Place

from lifeboat.items import Item, proven
from lifeboat.proof import manifests, verify
from lifeboat.remotes import remote

DVC = (sys.executable, "-m", "dvc")
pytestmark = pytest.mark.slow
of_two_kinds = pytest.mark.parametrize("place", ["folder", "moto"], indirect=True)
"""What DVC says is the same of both servers, and test_verify looks at what we say of each."""


def dvc(root: Path, *arguments: str) -> str:
    """What a real `dvc` prints; its exit code must be 0."""
    done = subprocess.run(
        [*DVC, *arguments],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def wrong(found: list[Item]) -> list[str]:
    return [item.fact for item in found if item.verdict == "wrong"]


def oid_of(root: Path, path: str) -> str:
    return (root / "dvc.lock").read_text().split(f"path: {path}\n")[1].split("md5: ")[1].split()[0]


@of_two_kinds
def test_with_everything_there_both_say_yes(placed: Path) -> None:
    assert "5 files pushed" in dvc(placed, "push")
    assert "Everything is up to date" in dvc(placed, "push")
    for deep in (False, True):
        found = verify.verify(placed, deep=deep)
        assert proven(found), wrong(found)
        assert found[0].fact.startswith("All 5 objects")


@of_two_kinds
def test_row_1_a_file_is_gone_whose_folder_s_list_stands(placed: Path, place: Place) -> None:
    dvc(placed, "push")
    gone = [key for key in sorted(place.sizes()) if not key.endswith(".dir")][0]
    place.remove(gone)
    assert "Everything is up to date" in dvc(placed, "push")
    assert "in sync" in dvc(placed, "status", "--cloud")
    assert "No changes" in dvc(placed, "data", "status", "--not-in-remote")
    (said,) = wrong(verify.verify(placed))
    assert said.startswith("MISSING")
    assert gone.removeprefix("files/md5/").replace("/", "") in said


@of_two_kinds
def test_row_2_data_is_in_neither_place(placed: Path, place: Place) -> None:
    dvc(placed, "push")
    oid = oid_of(placed, "results/sum")
    place.remove(manifests.key(oid))
    (placed / ".dvc" / "cache" / manifests.key(oid)).unlink()
    said = dvc(placed, "push")
    assert "Everything is up to date" in said
    (told,) = wrong(verify.verify(placed, ["sum"]))
    assert "the list of files of `results/sum` of stage `sum`" in told
    assert "its 1 files are unknown" in told


@of_two_kinds
def test_row_2_nothing_is_tracked_at_all(placed: Path) -> None:
    (placed / "dvc.yaml").unlink()
    (placed / "dvc.lock").unlink()
    subprocess.run(["git", "commit", "--quiet", "--all", "-m", "Nothing"], cwd=placed, check=True)
    assert "Everything is up to date" in dvc(placed, "push")
    (told,) = wrong(verify.verify(placed))
    assert "no data at all" in told


@of_two_kinds
def test_row_3_a_killed_stage_leaves_the_run_before_as_the_saved_one(placed: Path) -> None:
    dvc(placed, "push")
    command = "mkdir -p results/sum && cat data/raw/numbers/* > results/sum/sum.txt"
    pipeline = placed / "dvc.yaml"
    text = pipeline.read_text()
    assert command in text
    slow = "mkdir -p results/sum && echo half > results/sum/sum.txt && sleep 300"
    pipeline.write_text(text.replace(command, slow))
    repro = subprocess.Popen(
        [*DVC, "repro", "sum"], cwd=placed, start_new_session=True, stdout=subprocess.DEVNULL
    )
    half = placed / "results" / "sum" / "sum.txt"
    deadline = time.monotonic() + 60
    while not (half.is_file() and half.read_text() == "half\n") and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(repro.pid, signal.SIGKILL)
    repro.wait()
    assert half.read_text() == "half\n"
    (placed / ".dvc" / "tmp" / "rwlock").unlink(missing_ok=True)
    assert "Everything is up to date" in dvc(placed, "push")
    said = "\n".join(wrong(verify.verify(placed)))
    assert "NOT SAVED, because it is not what dvc.lock records: results/sum" in said
    half.unlink()
    half.parent.rmdir()
    assert "Everything is up to date" in dvc(placed, "push")
    said = "\n".join(wrong(verify.verify(placed)))
    assert "NOT SAVED: sum did not finish" in said


@of_two_kinds
def test_row_20_wrong_bytes_are_pushed_under_the_old_name(placed: Path, place: Place) -> None:
    out = placed / "results" / "sum" / "sum.txt"
    cached = placed / ".dvc" / "cache" / manifests.key(hashlib.md5(out.read_bytes()).hexdigest())
    out.unlink()
    out.hardlink_to(cached)  # as DVC leaves it
    out.chmod(0o644)  # root needs no permission
    with out.open("r+") as file:
        file.write("9")
    out.chmod(0o444)
    dvc(placed, "checkout", "--force")
    assert "5 files pushed" in dvc(placed, "push")
    assert place.get(manifests.key(hashlib.md5(b"1\n2\n").hexdigest())) == b"9\n2\n"
    found = verify.verify(placed, deep=place.kind == "folder")
    (told,) = [fact for fact in wrong(found) if fact.startswith("WRONG")]
    assert "`results/sum/sum.txt` of stage `sum`" in told
    assert "bytes hash to" in told


def test_a_remote_by_name_is_looked_at_instead(project: Path, tmp_path: Path) -> None:
    dvc(project, "push")
    remote.set_default(project, str(tmp_path / "second"))
    assert len(wrong(verify.verify(project))) == 5
    assert proven(verify.verify(project, [], "local"))
