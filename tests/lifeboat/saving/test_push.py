import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lifeboat import items
from lifeboat.remotes import remote
from lifeboat.saving import backup, push
from lifeboat.stage.errors import UserError


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The endpoint of an S3 server on loopback with one bucket, `study`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing-testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="study")
    yield endpoint
    client.close()
    server.stop()


def facts(found: list[items.Item], verdict: str) -> str:
    return "\n".join(item.fact for item in found if item.verdict == verdict)


def test_a_backup_with_both_remotes_elsewhere_is_proven(
    project: Path, tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "same_disk", lambda *_folders: False)  # as on a mounted volume
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "there.git"], check=True)
    subprocess.run(
        ["git", "remote", "add", "origin", tmp_path / "there.git"], cwd=project, check=True
    )
    remote.set_default(project, "s3://study/data", bucket)
    found = backup.backup(project, "Before the instance goes")
    assert items.proven(found), facts(found, "wrong")
    assert "All 5 objects" in facts(found, "ok")
    assert "s3://study/data" in facts(found, "ok")
    committed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "main"],
        cwd=tmp_path / "there.git",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "runs/" in committed
    assert "metadata.txt" in committed
    assert ".dvc/config" in committed
    # The remote loses a file of a folder whose list stands: DVC says "up to date", we send it.
    client = boto3.client("s3", endpoint_url=bucket)
    keys = [o["Key"] for o in client.list_objects_v2(Bucket="study")["Contents"]]
    client.delete_object(Bucket="study", Key=next(k for k in keys if not k.endswith(".dir")))
    found = push.push_data(project)
    assert items.proven(found), facts(found, "wrong")
    assert "Sent now, object by object: 1." in facts(found, "ok")
    assert keys == [o["Key"] for o in client.list_objects_v2(Bucket="study")["Contents"]]
    client.close()


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


def test_data_in_neither_place_is_missing_whatever_dvc_says(project: Path) -> None:
    lock = (project / "dvc.lock").read_text()
    oid = lock.split("path: results/sum")[1].split("md5: ")[1].split(".dir")[0]
    for path in (project / ".dvc" / "cache").rglob(f"{oid[2:]}*"):
        path.unlink()
    found = push.push_data(project)
    assert "the list of files of `results/sum` of stage `sum`" in facts(found, "wrong")
    assert "its 1 files are unknown" in facts(found, "wrong")


def test_an_empty_expectation_is_an_error(project: Path) -> None:
    (project / "dvc.lock").unlink()
    subprocess.run(["git", "commit", "--quiet", "--all", "-m", "x"], cwd=project, check=True)
    found = push.push_data(project)
    assert "name no data at all" in facts(found, "wrong")


def test_a_push_that_dvc_refuses_is_reported_with_its_reason(project: Path) -> None:
    remote.set_default(project, "s3://study", "http://127.0.0.1:9")
    found = push.push_data(project)
    assert "`dvc push` to s3://study failed" in facts(found, "warning")
    assert "s3://study" in facts(found, "wrong")
    assert "objects" not in facts(found, "ok")


def test_outside_git_nothing_is_pushed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a git repository"):
        push.push(tmp_path)
