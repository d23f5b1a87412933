"""Backups of a small project into folders that pass for other machines."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from repositories import facts, git, remote_of
from servers import Place

from lifeboat import items
from lifeboat.proof import expected, manifests, receipts
from lifeboat.remotes import remote
from lifeboat.remotes.bucket import open_bucket
from lifeboat.saving import backup, partial, stopping, unfinished
from lifeboat.saving.unfinished import Kept
from lifeboat.stage import artifacts
from lifeboat.stage.errors import UserError

TOKEN = "hf_" + "aB3" * 11
BASE = "data/interim/activations/base"
DVC = (sys.executable, "-m", "dvc")
CLI = [str(Path(sys.executable).with_name("backtracking"))]


@pytest.fixture
def there(project: Path) -> Path:
    """A bare repository, the git remote of the project."""
    return remote_of(project)


def objects(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def path_of(data: bytes) -> str:
    """The path in the store of a unit with these bytes."""
    return f"{BASE}/{'ab' * 32}.{hashlib.sha256(data).hexdigest()}.safetensors"


def shard(project: Path, data: bytes) -> None:
    artifacts.write_bytes(project / ".cache" / "store" / path_of(data), data)


def begin_extraction(project: Path) -> None:
    """A third stage of the pipeline that has made two shards and has not finished."""
    text = (project / "dvc.yaml").read_text()
    stage = "    cmd: sleep 9\n    deps: [data/raw/numbers]\n"
    text += f"  extract:\n{stage}    outs: [data/interim/activations/base]\n"
    (project / "dvc.yaml").write_text(text)
    git(project, "commit", "--quiet", "--all", "--message", "Extract")
    shard(project, b"aa")
    shard(project, b"bb")


@pytest.mark.usefixtures("elsewhere")
def test_all_of_it_is_saved_and_proven_and_a_second_backup_adds_nothing(
    project: Path, there: Path, tmp_path: Path
) -> None:
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    assert "All 5 objects that dvc.lock names are in" in facts(found, "ok")
    assert git(there, "rev-parse", "main") == git(project, "rev-parse", "HEAD")
    assert git(project, "status", "--porcelain") == ""
    (receipt,) = (project / "runs").glob("*/receipt.json")
    value = json.loads(receipt.read_text())
    assert value["proven"] is True
    assert value["branch"] == "main"
    assert value["commit"] == git(project, "rev-parse", "HEAD~1")
    assert value["n_objects"] == 5
    held = objects(tmp_path / "remote")
    assert len([key for key in held if key.startswith("receipts/")]) == 1
    before, head = list((project / "runs").iterdir()), git(project, "rev-parse", "HEAD")
    found = backup.backup(project)
    assert items.proven(found)
    assert "holds, and was proven again" in facts(found, "ok")
    assert list((project / "runs").iterdir()) == before
    assert git(project, "rev-parse", "HEAD") == head
    assert objects(tmp_path / "remote") == held
    (project / "params.yaml").write_text("seed: 2\n")
    git(project, "commit", "--quiet", "--all", "--message", "Another seed")
    assert items.proven(backup.backup(project))
    assert len(list((project / "runs").iterdir())) == 2


@pytest.mark.usefixtures("elsewhere")
def test_a_dirty_tree_goes_aside_with_its_snapshot_and_receipt(project: Path, there: Path) -> None:
    (project / "params.yaml").write_text("seed: 2\n")
    git(project, "add", "params.yaml")
    (project / "params.yaml").write_text("seed: 3\n")
    index, head = (project / ".git" / "index").read_bytes(), git(project, "rev-parse", "HEAD")
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    assert (project / ".git" / "index").read_bytes() == index
    assert git(project, "rev-parse", "HEAD") == head
    assert git(there, "show", "wip/main:params.yaml") == "seed: 3"
    assert "receipt.json" in git(there, "ls-tree", "-r", "--name-only", "wip/main")
    n_commits = git(there, "rev-list", "--count", "wip/main")
    assert items.proven(backup.backup(project))
    assert git(there, "rev-list", "--count", "wip/main") == n_commits
    assert (project / ".git" / "index").read_bytes() == index


@pytest.mark.usefixtures("elsewhere")
def test_a_secret_is_left_out_and_named_and_the_rest_is_saved(project: Path, there: Path) -> None:
    (project / "notes.md").write_text(f"{TOKEN}\n")
    (project / "good.md").write_text("fine\n")
    found = backup.backup(project)
    assert not items.proven(found)
    assert "notes.md, line 1" in facts(found, "wrong")
    assert "All 5 objects" in facts(found, "ok")
    names = git(there, "ls-tree", "-r", "--name-only", "wip/main").splitlines()
    assert "good.md" in names
    assert "notes.md" not in names
    assert TOKEN not in git(there, "log", "--all", "--patch")
    assert TOKEN not in str(found)


def test_remotes_on_this_machine_are_said_loudly_and_nothing_is_called_proven(
    project: Path, there: Path
) -> None:
    found = backup.backup(project)
    assert not items.proven(found)
    assert "THE CODE IS ONLY ON THIS MACHINE" in facts(found, "wrong")
    assert "THE DATA IS ONLY ON THIS MACHINE" in facts(found, "wrong")
    newest = receipts.newest(project)
    assert newest
    assert newest[1].proven is False


@pytest.mark.usefixtures("elsewhere")
def test_without_a_remote_for_one_side_the_other_is_saved(
    project: Path, there: Path, tmp_path: Path
) -> None:
    git(project, "remote", "remove", "origin")
    found = backup.backup(project)
    assert "git has no remote" in facts(found, "wrong")
    assert "All 5 objects" in facts(found, "ok")
    git(project, "remote", "add", "origin", str(there))
    config = (project / ".dvc" / "config").read_text()
    (project / ".dvc" / "config").write_text(config.replace("    remote = local\n", ""))
    found = backup.backup(project, "No remote for data")
    assert "NO DATA IS SAVED" in facts(found, "wrong")
    assert git(there, "rev-parse", "main") == git(project, "rev-parse", "HEAD")


@pytest.mark.usefixtures("elsewhere", "there")
def test_a_contract_that_cannot_be_read_keeps_no_data_back(project: Path) -> None:
    begin_extraction(project)
    (project / "pyproject.toml").write_text("[tool.lifeboat\n")
    found = backup.backup(project)
    assert "pyproject.toml cannot be read" in facts(found, "wrong")
    assert "All 5 objects" in facts(found, "ok")
    (index,) = partial.read_indexes(open_bucket(project))
    assert {part.path for part in index.parts} == {path_of(b"aa"), path_of(b"bb")}


@pytest.mark.usefixtures("elsewhere", "there")
def test_parts_of_an_unfinished_stage_are_saved_and_told(project: Path) -> None:
    begin_extraction(project)
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    assert "Stage `extract` has not finished: NOT SAVED but for its parts, 2 files" in facts(
        found, "warning"
    )
    (index,) = partial.read_indexes(open_bucket(project))
    assert {part.path for part in index.parts} == {path_of(b"aa"), path_of(b"bb")}
    assert {part.stage for part in index.parts} == {"extract"}
    assert index.branch == "main"
    shard(project, b"cc")
    shard(project, b"dd")
    (project / ".cache" / "store" / path_of(b"dd")).write_bytes(b"altered")
    found = backup.backup(project)
    assert f"NOT SAVED: {path_of(b'dd')}" in facts(found, "wrong")
    (index,) = partial.read_indexes(open_bucket(project))
    assert {part.path for part in index.parts} == {path_of(b"aa"), path_of(b"bb"), path_of(b"cc")}


def test_a_running_stage_without_parts_is_work_that_would_be_lost(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_extraction(project)
    wanted, bucket = expected.read(project), open_bucket(project)
    (item,) = unfinished.items(project, wanted, Kept(), bucket)
    assert "Stage `extract` has not finished, and it has no parts" in item.fact
    assert item.verdict == "warning"
    monkeypatch.setattr(stopping, "stages", lambda _root: [(None, "extract")])
    (item,) = unfinished.items(project, wanted, Kept(), bucket)
    assert "WHAT IT HAS DONE SO FAR IS NOT SAVED" in item.fact
    assert item.verdict == "wrong"


@pytest.mark.usefixtures("elsewhere", "there")
def test_what_dvc_believes_to_be_there_and_is_not_is_sent(project: Path, tmp_path: Path) -> None:
    backup.backup(project)
    held = [path for path in (tmp_path / "remote" / "files").rglob("*") if path.is_file()]
    gone, cut = sorted(path for path in held if path.suffix != ".dir")[:2]
    gone.unlink()
    cut.chmod(0o644)
    cut.write_bytes(b"")
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    assert "Sent now, object by object: 2." in facts(found, "ok")
    assert gone.exists()
    assert cut.stat().st_size > 0


@pytest.mark.usefixtures("elsewhere", "there")
def test_a_damaged_cache_object_is_named_with_stage_and_path_and_the_rest_is_saved(
    project: Path, tmp_path: Path
) -> None:
    good = project / "results" / "sum" / "sum.txt"
    oid = hashlib.md5(good.read_bytes()).hexdigest()
    for path in (good, project / ".dvc" / "cache" / manifests.key(oid)):
        path.chmod(0o644)
        path.write_text("damaged\n")
    found = backup.backup(project)
    assert not items.proven(found)
    said = facts(found, "wrong")
    assert "`results/sum/sum.txt`" in said
    assert "stage `sum`" in said
    assert "does not hash to its name" in said
    assert "3 of 5 objects" in facts(found, "warning")
    held = objects(tmp_path / "remote")
    assert len([key for key in held if key.startswith("files/")]) == 3
    newest = receipts.newest(project)
    assert newest
    assert len(newest[1].missing) == 2
    assert newest[1].proven is False


def test_outside_git_nothing_is_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a git repository"):
        backup.backup(tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.slow
def test_with_a_remote_that_hangs_the_process_ends_by_the_deadline_and_names_what_is_lost(
    project: Path, there: Path, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_extraction(project)
    remote.set_default(project, "s3://study/data", f"http://127.0.0.1:{silent}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing-testing")
    start = time.monotonic()
    command = [*CLI, "--root", str(project), "backup", "--json", "--deadline", "8s"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert time.monotonic() - start < 9
    assert done.returncode == 1, done.stderr
    found = [items.Item(**item) for item in json.loads(done.stdout)["items"]]
    said = facts(found, "wrong")
    assert "no end within the time" in said
    for name in (path_of(b"aa"), path_of(b"bb"), "results/sum", "`numbers`"):
        assert name in said, said
    assert "wip/main" in git(there, "branch", "--list", "wip/main")


@pytest.mark.slow
def test_with_a_deadline_everything_that_fits_is_saved(
    project: Path, there: Path, tmp_path: Path
) -> None:
    begin_extraction(project)
    command = [*CLI, "--root", str(project), "backup", "--deadline", "5m"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "All 5 objects" in done.stdout, done.stdout + done.stderr
    assert "its parts, 2 files" in done.stdout
    assert "TIME WAS UP" not in done.stdout
    assert git(there, "rev-parse", "main") == git(project, "rev-parse", "HEAD")


@pytest.mark.slow
def test_two_backups_at_once_both_end_and_nothing_is_lost(
    project: Path, there: Path, tmp_path: Path
) -> None:
    begin_extraction(project)
    (project / "good.md").write_text("fine\n")
    command = [*CLI, "--root", str(project), "backup", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        out = process.communicate(timeout=120)[0]
        found = [items.Item(**item) for item in json.loads(out)["items"]]
        wrong = [item.fact for item in found[:-1] if item.verdict == "wrong"]
        assert all("ONLY ON THIS MACHINE" in fact for fact in wrong), wrong
        assert found[-1].fact.startswith("NOT ALL IS SAVED")
        assert "All 5 objects" in facts(found, "ok")
    assert git(there, "show", "wip/main:good.md") == "fine"
    (index,) = partial.read_indexes(open_bucket(project))
    assert len(index.parts) == 2


KILLED = """\
import os, signal, sys
from pathlib import Path
from lifeboat.git import index, refs, wip
from lifeboat.proof import receipts
from lifeboat.remotes import bucket, remote
from lifeboat.saving import backup, jobs, partial
from lifeboat.stage import artifacts
remote.same_disk = lambda *_folders: False
root = Path(sys.argv[1])
jobs.run.__defaults__ = (1,)
FOLDER = bucket.Folder
POINTS = [
    (artifacts, "write_text", 3), (index, "take", 1), (wip, "_commit_here", 1),
    (refs, "_send", 1), (refs, "_landed", 1), (FOLDER, "_send", 1), (FOLDER, "_send", 3),
    (FOLDER, "_arrived", 2), (FOLDER, "_send", 3), (partial, "write_index", 1),
    (receipts, "send", 1), (receipts, "write", 1), (wip, "_commit_here", 1),
]
for owner, name, nth in POINTS:
    child = os.fork()
    if not child:
        action, n_calls = getattr(owner, name), 0
        def patched(*arguments, **options):
            global n_calls
            n_calls += 1
            if n_calls == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            return action(*arguments, **options)
        setattr(owner, name, patched)
        backup.backup(root)
        os._exit(0)
    print(name, nth, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_killed_at_any_point_nothing_is_half_there_and_the_next_backup_completes_it(
    project: Path, there: Path, tmp_path: Path
) -> None:
    begin_extraction(project)
    command = [sys.executable, "-c", KILLED, str(project)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ends = [int(line.split()[-1]) for line in done.stdout.splitlines()]
    assert ends == [-signal.SIGKILL] * 13, done.stdout
    found = backup.backup(project)
    assert items.proven(found), facts(found, "wrong")
    bucket = open_bucket(project)
    (index,) = partial.read_indexes(bucket)
    assert partial.absent(index.parts, bucket) == []
    assert git(there, "rev-parse", "main") == git(project, "rev-parse", "HEAD")
    assert git(project, "fsck", "--no-dangling", "--no-progress") == ""
    assert items.proven(backup.backup(project))


@pytest.mark.slow
def test_a_backup_beside_a_running_repro_disturbs_neither(project: Path, there: Path) -> None:
    text = (project / "dvc.yaml").read_text()
    # Not in the stage's own shell, which counts as no process of it.
    waiting = "timeout 600 sh -c 'until test -e end; do sleep 0.1; done'"
    made = "mkdir -p results/long && echo 1 > results/long/one"
    command = f"touch running && {waiting} && {made}"
    text += f"  long:\n    cmd: {command}\n    outs: [results/long]\n"
    (project / "dvc.yaml").write_text(text)
    repro = subprocess.Popen([sys.executable, "-m", "dvc", "repro"], cwd=project)
    while not (project / "running").exists():
        time.sleep(0.05)
    try:
        for _ in range(2):
            found = backup.backup(project)
            assert "All 5 objects" in facts(found, "ok")
            assert "WHAT IT HAS DONE SO FAR IS NOT SAVED: it is running." in facts(found, "wrong")
        assert repro.poll() is None
    finally:
        (project / "end").touch()
    assert repro.wait() == 0
    assert (project / "results" / "long" / "one").exists()
    found = backup.backup(project)
    assert "All 6 objects" in facts(found, "ok")
    assert os.path.exists(project / "dvc.lock")


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere", "there")
@pytest.mark.parametrize("place", servers.KINDS, indirect=True)
def test_in_buckets_of_every_kind_all_is_proven_once_and_mended_after(placed: Path) -> None:
    begin_extraction(placed)
    found = backup.backup(placed)
    assert items.proven(found), facts(found, "wrong")
    bucket = open_bucket(placed)
    held = {stored.key for stored in bucket.list("")}
    assert len([key for key in held if key.startswith("files/md5/")]) == 5
    assert len([key for key in held if key.startswith("partial/sha256/")]) == 2
    found = backup.backup(placed)
    assert "holds, and was proven again" in facts(found, "ok")
    assert {stored.key for stored in bucket.list("")} == held
    for prefix in ("files/md5/", "partial/sha256/"):
        bucket.write(next(key for key in sorted(held) if key.startswith(prefix)), b"cut")
    found = backup.backup(placed, seconds=60)
    assert items.proven(found), facts(found, "wrong")
    assert {stored.key for stored in bucket.list("")} >= held
    (index,) = partial.read_indexes(bucket)
    assert partial.absent(index.parts, bucket) == []


ABSENT = {
    "of HEAD": (("HEAD",), "that were never made or fetched here, or are here no longer"),
    "of this run": ((), "None was sent: neither DVC's cache nor the workspace has it."),
}
"""Whose record data is that is nowhere: who committed it, and what is said."""


@pytest.mark.kind(8)
@pytest.mark.usefixtures("elsewhere", "there")
@pytest.mark.parametrize("member", ABSENT)
def test_what_is_recorded_and_neither_here_nor_there_is_told_in_one_line(
    project: Path, member: str
) -> None:
    at_head, said = ABSENT[member]
    Place("folder", str(project.parent / "remote")).fill(project / ".dvc" / "cache")
    outs = "".join(f"      - other/{n}\n" for n in range(5))
    makes = "for n in 0 1 2 3 4; do mkdir -p other/$n && (cd other/$n && touch $(seq 0 $n)); done"
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(f"{text}  other:\n    cmd: {makes}\n    outs:\n{outs}")
    (project / ".gitignore").write_text(f"{(project / '.gitignore').read_text()}/other/\n")
    subprocess.run([*DVC, "repro", "--quiet", "other"], cwd=project, check=True)
    if at_head:
        git(project, "commit", "--quiet", "--all", "--message", "Somebody's")
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / "other")
    found = backup.backup(project)
    (wrong,) = [item for item in found if item.verdict == "wrong"]
    assert "5 objects of `other`" in wrong.fact
    assert said in wrong.fact
    assert items.ending(found).fact.endswith("see the line above that says WRONG.")
