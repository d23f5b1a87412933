import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from repositories import facts, git, remote_of
from servers import CREDENTIALS

from backtracking import PROJECT_ROOT, cli
from lifeboat import items
from lifeboat.deadlines import Deadline, Later
from lifeboat.doctor import device, disk, doctor, probing, repository
from lifeboat.doctor.device import Device
from lifeboat.doctor.doctor import Machine
from lifeboat.items import Item
from lifeboat.stage.errors import UserError

BARE = Device("2.15.0", "13.2", "", "", (), ())


@pytest.fixture
def study(project: Path) -> Path:
    """A finished project with the study's parameters, a git remote beside it and a DVC remote."""
    (project / "requirements.lock").write_text("pytest==" + pytest.__version__ + "\n")
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copyfile(PROJECT_ROOT / name, project / name)
    remote_of(project)
    return project


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough for a machine on which many tests run at once."""
    for name in ("IN_ALL_S", "NETWORK_S", "LOADED_S"):
        monkeypatch.setattr(doctor, name, 120.0)


@pytest.fixture
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "ask", lambda *_: BARE)


@pytest.mark.usefixtures("_no_gpu", "_patient")
def test_a_machine_on_which_the_study_runs_is_proven_with_its_warnings(study: Path) -> None:
    found = doctor.examine(study)
    assert items.proven(found), facts(found, "wrong")
    warnings = facts(found, "warning")
    assert "git's remote `origin` is on THIS MACHINE" in warnings
    assert "DOES NOT SURVIVE THE MACHINE" in warnings
    said = facts(found, "ok")
    for fact in (
        "Python 3.",
        "All 1 pinned packages",
        "No GPU answers",
        "The largest model (trained here",
        "GB are free",
        "Hard links work",
        "Hugging Face's cache is",
        "No Hugging Face token",
        "W&B tracking is off",
        "git commits as Test",
        "git's remote `origin` answers",
        "a probe was written, read and deleted",
        "The clock was not compared: no remote speaks HTTP",
    ):
        assert fact in said
    assert all(item.cure for item in found if item.verdict != "ok")
    assert not list(study.glob("*.tmp"))
    assert not list((study.parent / "remote").iterdir())


@contextmanager
def black_hole() -> Iterator[int]:
    """The port of a server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


def send_data_to(study: Path, endpoint: str) -> None:
    config = (study / ".dvc" / "config").read_text().partition("['remote")[0]
    config += f"['remote \"local\"']\n    url = s3://study/data\n    endpointurl = {endpoint}\n"
    (study / ".dvc" / "config").write_text(config)


@pytest.mark.slow
@pytest.mark.usefixtures("_no_gpu")
def test_remotes_that_never_answer_cost_ten_seconds_at_most_and_are_wrong(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with black_hole() as port:
        send_data_to(study, f"http://127.0.0.1:{port}")
        git(study, "remote", "set-url", "origin", f"http://127.0.0.1:{port}/x.git")
        begin = time.monotonic()
        with pytest.raises(SystemExit) as ended:
            cli.main(["--root", str(study), "doctor", "--json"])
        took = time.monotonic() - begin
    assert ended.value.code == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    by_fact = {item["fact"]: item for item in report["items"]}
    # On a busy machine DVC may not even have been loaded in time, which is said instead.
    for start in ("git's remote `origin` did not answer", "DVC's remote(?! `local` is)"):
        (item,) = (item for fact, item in by_fact.items() if re.match(start, fact))
        assert item["verdict"] != "ok"
        assert item["cure"]
    assert any(fact.startswith("The clock was not compared: 127.0.0.1") for fact in by_fact)
    assert took < 10, f"{took:.1f} s"


@pytest.mark.usefixtures("_no_gpu", "_patient")
def test_what_cannot_be_looked_at_is_wrong_and_hides_nothing_else(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> list[Item]:
        raise UserError("dvc.lock is not YAML.")

    def crash(*_arguments: object) -> list[Item]:
        raise PermissionError(13, "Permission denied", "somewhere")

    monkeypatch.setattr(disk, "items", fail)
    monkeypatch.setattr(repository, "items", crash)
    found = doctor.examine(study)
    wrong = facts(found, "wrong")
    assert "dvc.lock is not YAML." in wrong
    assert "Permission denied" in wrong
    assert "W&B tracking is off" in facts(found, "ok")
    assert all(item.cure for item in found if item.verdict != "ok")


def machine(asked: Later | None) -> Machine:
    return Machine(Later(lambda: None), asked, Deadline.after(1))  # type: ignore[arg-type]


def test_a_driver_that_hangs_is_a_warning() -> None:
    (item,) = doctor.device_items(machine(Later(lambda: None)))
    assert item.verdict == "warning"
    assert "nvidia-smi" in item.cure


def test_a_project_without_torch_has_no_device_and_is_not_wrong() -> None:
    (item,) = doctor.device_items(machine(None))
    assert item.verdict == "ok"
    assert machine(None).device is None


def test_a_torch_that_cannot_be_loaded_is_said_once() -> None:
    def fail() -> Device:
        raise ImportError("torch cannot be loaded")

    there = machine(Later(fail))
    with pytest.raises(ImportError):
        doctor.device_items(there)
    assert there.device is None


@pytest.mark.usefixtures("_no_gpu")
def test_a_check_without_an_end_does_not_hold_up_the_rest(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(doctor, "IN_ALL_S", 1.0)
    monkeypatch.setattr(repository, "items", lambda *_: let_go.wait(60) and [])
    monkeypatch.setattr(probing, "items", lambda *_: [])
    try:
        found = doctor.examine(study)
    finally:
        let_go.set()
    assert "No answer about git within 1 s" in facts(found, "warning")
