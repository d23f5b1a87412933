import json
import subprocess
from pathlib import Path

import pytest
from repositories import facts

from lifeboat import items
from lifeboat.remotes import remote
from lifeboat.saving import push
from lifeboat.stage.errors import UserError


def test_what_dvc_believes_to_be_there_is_sent_object_by_object(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)  # as on a mounted volume
    assert items.proven(push.push_data(project))
    held = [path for path in (tmp_path / "remote").rglob("*") if path.is_file()]
    gone = next(path for path in sorted(held) if path.suffix != ".dir")
    gone.unlink()
    found = push.push_data(project)
    assert items.proven(found), facts(found, "wrong")
    assert "Sent now, object by object: 1." in facts(found, "ok")
    assert gone.exists()


def test_what_stays_on_this_machine_is_said_loudly_and_a_refused_commit_keeps_no_data_back(
    project: Path,
) -> None:
    (project / "big.bin").write_bytes(b"0" * 10_000_001)
    found = push.push(project)
    assert "NOTHING WAS COMMITTED" in facts(found, "wrong")
    assert not items.proven(found)
    assert "THE CODE IS ONLY ON THIS MACHINE" in facts(found, "wrong")
    assert "THE DATA IS ONLY ON THIS MACHINE" in facts(found, "wrong")
    assert "All 5 objects that dvc.lock names are in" in facts(found, "ok")
    report = items.as_object("push", found)
    assert json.loads(json.dumps(report)) == report
    assert set(report) == {"ok", "command", "items"}
    assert report["ok"] is False


def test_outs_of_a_stage_that_did_not_finish_are_not_called_saved(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: lock.index("  sum:")])
    (project / "data" / "raw" / "numbers" / "one").unlink()
    (project / "data" / "raw" / "numbers" / "one").write_text("3\n")
    found = push.push_data(project)
    said = facts(found, "wrong")
    assert "Never finished: sum;" in said
    assert "NOT SAVED, because it is not what dvc.lock records: data/raw/numbers" in said


def test_an_empty_expectation_is_an_error(project: Path) -> None:
    (project / "dvc.lock").unlink()
    subprocess.run(["git", "commit", "--quiet", "--all", "-m", "x"], cwd=project, check=True)
    found = push.push_data(project)
    assert "name no data at all" in facts(found, "wrong")


def test_a_push_that_dvc_refuses_is_reported_with_its_reason(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    remote.set_default(project, "s3://study", "http://127.0.0.1:9")
    found = push.push_data(project)
    assert "`dvc push` to s3://study failed" in facts(found, "warning")
    assert "s3://study" in facts(found, "wrong")
    assert "objects" not in facts(found, "ok")


def test_outside_git_nothing_is_pushed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a git repository"):
        push.push(tmp_path)
