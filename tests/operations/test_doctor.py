import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from backtracking.operations import device, doctor, items
from backtracking.operations.device import Device
from backtracking.operations.items import Item


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def facts(found: list[Item], verdict: str) -> str:
    return "\n".join(item.fact for item in found if item.verdict == verdict)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "describe", lambda: Device("2.15.0", "13.2", "", "", (), ()))


@pytest.fixture
def study(project: Path) -> Path:
    (project / "requirements.lock").write_text("pytest==" + pytest.__version__ + "\n")
    return project


def test_a_machine_on_which_the_study_runs_is_proven_with_its_warnings(study: Path) -> None:
    found = doctor.examine(study)
    assert items.proven(found), facts(found, "wrong")
    warnings = facts(found, "warning")
    assert "ONLY ON THIS MACHINE" in warnings
    assert "DOES NOT SURVIVE THE MACHINE" in warnings
    said = facts(found, "ok")
    for fact in ("No GPU answers", "GB are free", "Hard links work", "git commits as Test"):
        assert fact in said
    assert "No Hugging Face token" in said
    assert "W&B tracking is off" in said
    assert not list(study.glob(".doctor.*"))


def test_what_is_not_wrong_has_no_cure_that_is_missing(study: Path) -> None:
    assert all(item.cure for item in doctor.examine(study) if item.verdict != "ok")


def test_too_little_disk_is_wrong(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**10, 0, 10**9))
    item = doctor.disk_item(study)
    assert (item.verdict, item.fact) == ("wrong", "1.0 GB are free on the disk of the project.")


def test_a_missing_pipeline_is_wrong_and_named(study: Path) -> None:
    (study / "dvc.yaml").unlink()
    item = doctor.pipeline_item(study)
    assert item.verdict == "wrong"
    assert "dvc.yaml missing" in item.fact


def test_a_folder_without_git_is_wrong(tmp_path: Path) -> None:
    (item,) = doctor.git_items(tmp_path)
    assert item.verdict == "wrong"
    assert "is not a git repository" in item.fact


def test_a_missing_git_identity_is_a_warning(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path.home() / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    monkeypatch.delenv("EMAIL", raising=False)
    assert "no name and address" in facts(doctor.git_items(study), "warning")


def test_git_remotes_are_shown_and_not_called_reachable(study: Path) -> None:
    subprocess.run(["git", "remote", "add", "origin", "https://host/x"], cwd=study, check=True)
    assert "https://host/x (not contacted" in facts(doctor.git_items(study), "ok")
    subprocess.run(["git", "remote", "set-url", "origin", study.parent], cwd=study, check=True)
    assert "is on THIS MACHINE" in facts(doctor.git_items(study), "warning")


def test_tokens_are_reported_and_never_shown(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_" + "aB3" * 11
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("WANDB_API_KEY", "a-key-for-tests")
    found = [doctor.hub_item(), doctor.tracking_item()]
    assert "token is set up (not checked" in found[0].fact
    assert "tracking is on" in found[1].fact
    assert token not in str(found)
    assert "a-key" not in str(found)


def test_a_cache_that_would_copy_is_a_warning(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert doctor.cache_item(study).verdict == "warning"
    monkeypatch.undo()
    config = study / ".dvc" / "config"
    config.write_text(config.read_text().replace('"hardlink,symlink"', "copy"))
    assert "cache type is copy" in doctor.cache_item(study).fact
