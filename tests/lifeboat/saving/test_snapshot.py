import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lifeboat.deadlines import Deadline, within
from lifeboat.doctor import environment
from lifeboat.proof import receipts
from lifeboat.proof.receipts import Receipt
from lifeboat.running import stage_seconds
from lifeboat.saving import snapshot
from lifeboat.stage.errors import UserError

PLANTED = "hf_" + "aB3" * 11


@pytest.fixture(autouse=True)
def _few_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "packages", lambda: {"torch": "2.15.0"})


def test_a_snapshot_has_state_parameters_lock_environment_and_device(project: Path) -> None:
    (project / "results" / "summary.json").write_text('{"solve_rate": 0.85}\n')
    (project / "params.yaml").write_text("seed: 2\n")
    (project / "untracked.txt").write_text("x\n")
    found = snapshot.take(project)
    (folder,) = (project / "runs").iterdir()
    assert re.fullmatch(r"\d{8}_\d{6}", folder.name)
    assert sorted(path.name for path in folder.iterdir()) == [
        "dvc.lock",
        "environment.txt",
        "git_diff.patch",
        "git_status.txt",
        "metadata.txt",
        "params.yaml",
        "summary.json",
    ]
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=project, check=True, capture_output=True, text=True
    ).stdout.strip()
    metadata = (folder / "metadata.txt").read_text()
    assert f"commit: {head}" in metadata
    assert "branch: main" in metadata
    assert "tree: differs from the commit" in metadata
    assert "torch: " in metadata
    assert "not there to copy: results/claims.json" in metadata
    assert "-seed: 1" in (folder / "git_diff.patch").read_text()
    assert "?? untracked.txt" in (folder / "git_status.txt").read_text()
    assert (folder / "environment.txt").read_text() == "torch==2.15.0\n"
    assert (folder / "params.yaml").read_text() == "seed: 2\n"
    assert any("untracked files are named in it, not copied" in item.fact for item in found)


def test_the_patch_of_a_snapshot_applies(project: Path) -> None:
    text = "seed: 2\nnote: ünïcode\n"
    (project / "params.yaml").write_text(text)
    snapshot.take(project)
    (folder,) = (project / "runs").iterdir()
    subprocess.run(["git", "checkout", "--quiet", "params.yaml"], cwd=project, check=True)
    subprocess.run(["git", "apply", folder / "git_diff.patch"], cwd=project, check=True)
    assert (project / "params.yaml").read_text() == text


def test_no_secret_gets_into_a_snapshot(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", "correct horse battery")
    (repository / "code.py").write_text(f"x = '{PLANTED}'\ny = 'correct horse battery'\n")
    (repository / ".dvc").mkdir()
    url = "https://me:" + "pa55word@host/repo.git"
    subprocess.run(["git", "remote", "add", "origin", url], cwd=repository, check=True)
    snapshot.take(repository)
    (folder,) = (repository / "runs").iterdir()
    text = "".join(path.read_text() for path in folder.iterdir())
    assert "+x = '[redacted]'" in text
    assert "https://[redacted]@host/repo.git" in text
    for secret in (PLANTED, "correct horse", "pa55word"):
        assert secret not in text


def test_two_snapshots_in_one_second_are_two_folders(repository: Path) -> None:
    first, second = (snapshot._new_folder(repository / "runs") for _ in range(2))
    assert first != second
    assert first.is_dir()
    assert second.is_dir()


def test_a_long_diff_is_cut_and_says_so(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MAX_DIFF_BYTES", 100)
    (repository / "code.py").write_text("".join(f"x = {n}\n" for n in range(100)))
    found = snapshot.take(repository)
    (folder,) = (repository / "runs").iterdir()
    assert len((folder / "git_diff.patch").read_text()) == 100
    assert "diff: cut after 100 bytes" in (folder / "metadata.txt").read_text()
    assert any(item.verdict == "warning" and "is cut" in item.fact for item in found)


def test_a_clean_tree_is_said_to_be_as_committed(repository: Path) -> None:
    snapshot.take(repository)
    (folder,) = (repository / "runs").iterdir()
    assert "tree: as committed" in (folder / "metadata.txt").read_text()
    assert (folder / "git_diff.patch").read_text() == "no difference to the commit\n"


def test_outside_git_there_is_nothing_to_record(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a git repository"):
        snapshot.take(tmp_path)
    assert not (tmp_path / "runs").exists()


def leave_receipt(root: Path, stamp: str, *, proven: bool) -> None:
    digest = "0a1b2c3d" * 8
    receipt = Receipt(
        created="2026-01-02T03:04:05+00:00",
        machine="0011223344556677-01234567",
        proven=proven,
        content_sha256=digest,
        commit="ab" * 20,
        branch="main",
        git="there",
        remote="s3://there",
        comparison="size",
        n_objects=3,
        missing=(),
        outs_sha256=digest,
        n_parts=0,
        parts_bytes=0,
        parts_sha256=digest,
        unfinished=("steer",),
    )
    receipts.write(root / "runs" / stamp / "receipt.json", receipt)


def test_a_snapshot_has_the_newest_receipt_and_how_long_stages_take(repository: Path) -> None:
    leave_receipt(repository, "20260101_000000", proven=True)
    leave_receipt(repository, "20260102_000000", proven=False)
    stage_seconds.add(repository, {"extract@base": 61.5})
    snapshot.take(repository)
    folder = max((repository / "runs").iterdir())
    before = repository / "runs" / "20260102_000000" / "receipt.json"
    assert (folder / "last_receipt.json").read_bytes() == before.read_bytes()
    table = json.loads((folder / "stage_seconds.json").read_text())
    assert table == {"extract@base": 61.5, "sha256 of params.yaml": ""}
    said = "last receipt: runs/20260102_000000/receipt.json, 2026-01-02T03:04:05+00:00: NOT ALL was"
    assert said in (folder / "metadata.txt").read_text()
    assert stage_seconds.known(repository) == {"extract@base": 61.5}


def test_a_long_receipt_is_named_and_not_copied(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MAX_RECEIPT_BYTES", 10)
    leave_receipt(repository, "20260101_000000", proven=True)
    snapshot.take(repository)
    folder = max((repository / "runs").iterdir())
    assert not (folder / "last_receipt.json").exists()
    said = "last receipt: runs/20260101_000000/receipt.json, 2026-01-02T03:04:05+00:00: all was"
    assert said in (folder / "metadata.txt").read_text()


def test_a_letter_that_is_no_utf_8_keeps_no_snapshot_back(project: Path) -> None:
    (project / "params.yaml").write_bytes(b"seed: 1  # r\xe9glage\n")
    snapshot.take(project)
    (copy,) = (project / "runs").glob("*/params.yaml")
    assert copy.read_text() == "seed: 1  # r\ufffdglage\n"


def of_this_second(runs: Path) -> None:
    for ahead in range(60):
        (runs / time.strftime("%Y%m%d_%H%M%S", time.localtime(time.time() + ahead))).mkdir(
            parents=True
        )


IN_ITS_PLACE: dict[str, Callable[[Path], object]] = {
    "a link to nothing": lambda runs: runs.symlink_to("/mnt/not-there/runs"),
    "a file": lambda runs: runs.write_text("mine\n"),
    "a link to itself": lambda runs: runs.symlink_to(runs.name),
    "folders of every second": of_this_second,
}
"""What is where `runs` should be."""


@pytest.mark.kind(3)
@pytest.mark.parametrize("member", IN_ITS_PLACE)
def test_where_no_folder_can_be_made_that_is_said(
    repository: Path, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "ATTEMPTS", 2)
    IN_ITS_PLACE[member](repository / "runs")
    take = lambda: within(Deadline.after(20), "", lambda: snapshot.take(repository))  # noqa: E731
    with pytest.raises(UserError, match="runs.* could not be made: "):
        take()
